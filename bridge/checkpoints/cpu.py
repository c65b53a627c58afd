"""Which features of a processor a program may have got used to, so that it dies where they are not.

A program looks at its processor once, when it starts, and from then on runs the code that was chosen for it; restored on one that
lacks an instruction it ends with SIGILL, some time. Most of what Linux lists as flags is no instruction: clocks, cures, the
kernel's own words. Those may differ.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["missed"]

# x86: instruction sets, and state that is saved with a process's registers. Version after version adds to these families.
_X86: Final = re.compile(
    r"""
    mmx(ext)? | 3dnow(ext)? | s?sse\w* | pni | fxsr(_opt)? | cx8 | cx16 | cmov | lahf_lm | syscall | lm
    | popcnt | abm | bmi[12] | movbe | fma4? | f16c | xop | tbm | adx | lwp
    | aes | vaes | pclmulqdq | vpclmulqdq | sha_ni | sha512 | sm[34] | gfni
    | avx\w* | amx_\w* | apx\w*
    | xsave\w* | pku | ospke | xgetbv1 | user_shstk | fsgsbase
    | rdrand | rdseed | rdpid | rdtscp | tsc | clflush(opt)? | clwb | cldemote | clzero
    | movdiri | movdir64b | serialize | waitpkg | tsxldtrk | rtm | hle | enqcmd | cmpccxadd | prefetchi
    """,
    re.VERBOSE | re.ASCII,
)
# Elsewhere the list has nothing but what programs may use, but for this.
_NO_INSTRUCTION: Final = {"evtstrm"}


def missed(arch: str, at_dump: list[str], here: list[str]) -> list[str]:
    """Return the features that were there when a program was dumped, which it may use, and which are not here."""
    lacking = set(at_dump) - set(here)
    if arch in ("amd64", "386"):
        return sorted(flag for flag in lacking if _X86.fullmatch(flag))
    return sorted(lacking - _NO_INSTRUCTION)
