# two processes call create() on the same path, second starts while the first is filling; then build 1 is completed
import sys,time,os,multiprocessing as mp
from pathlib import Path
sys.path[:0]=['/work/main/tests']
import numpy as np
from nmcheck.linearize.bank import store
from nmcheck.linearize.bank.store import create, BankFile
from nmcheck.checks.bank_build import plan_bank, build_bank
from nmcheck.checks.bank_options import BankOptions
W=Path('/tmp/rev_bank')
def go(tag, delay):
    try:
        o=BankOptions(W/'small.onnx', str(W/'small.npz'), W/'racebank.h5', 5, kernels='native', chunk=16)
        plan=plan_bank(o)
        if tag=='A':   # widen the window: the time a big bank's NaN fill takes
            fill=store._fill
            def slow(file,*a):
                fill(file,*a); file.flush(); time.sleep(2)
            store._fill=slow
        else: time.sleep(delay)
        build_bank(plan); print(tag,'built')
    except BaseException as e: print(tag, type(e).__name__, e)
if __name__=='__main__':
    (W/'racebank.h5').unlink(missing_ok=True)
    ps=[mp.Process(target=go,args=(t,1.0)) for t in 'AB']
    [p.start() for p in ps]; [p.join() for p in ps]
    print(os.listdir(W))
