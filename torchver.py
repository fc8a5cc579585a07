# a bank begun with another torch is continued here by the serial build
import h5py, zlib, json, sys
p=sys.argv[1]
with h5py.File(p,'r+') as f:
    h=json.loads(f.attrs['header']); h['arithmetic']['torch']='1.0.0'; t=json.dumps(h,sort_keys=True)
    f.attrs['header']=t; f.attrs['header_crc32']=zlib.crc32(t.encode()); f['done'][3]=0
