import h5py,sys,subprocess,os,time
p='/tmp/rev_bank/race.h5'
f=h5py.File(p,'w',libver=("earliest","v108"),locking=True)
import numpy as np
f['x']=np.ones(1000000); f.flush()
print('size before', os.path.getsize(p))
print(subprocess.run([sys.executable,'-c',f"import h5py\ntry:\n  h5py.File('{p}','w',libver=('earliest','v108'),locking=True)\nexcept Exception as e: print(repr(e)[:150])"],capture_output=True,text=True))
print('size after', os.path.getsize(p))
f.close()
try:
  with h5py.File(p) as g: print('x', g['x'][:5])
except Exception as e: print(repr(e)[:200])
