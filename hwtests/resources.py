"""What RDMA resources this process holds, as the kernel counts them."""

import json
import os
import subprocess

KINDS = ("qp", "cq", "pd", "mr", "cm_id")
"""No contexts: librdmacm keeps one open on each device it has seen. Each context of ours has a pd."""


def held() -> dict[str, int]:
    """How many of each kind this process has on all devices."""
    counts = {}
    for kind in KINDS:
        told = subprocess.run(["rdma", "-j", "resource", "show", kind], capture_output=True, text=True, check=True)
        rows = json.loads(told.stdout or "[]")
        counts[kind] = sum(1 for row in rows if row.get("pid") == os.getpid())
    return counts
