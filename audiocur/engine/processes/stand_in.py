"""What runs in place of an agent that Ray insists on and a run has no use for: a process that waits (see `lean`).

Python's own modules do, and few of them: it is started with -I and -S.
"""

import os
import time

if __name__ == "__main__":
    while os.getppid() == int(os.environ["RAY_RAYLET_PID"]):  # which ends it in the end, unless it is killed itself
        time.sleep(1)
