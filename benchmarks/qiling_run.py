"""Run a program under Qiling; by the interpreter of an environment that has it."""

import sys

from qiling import Qiling
from qiling.const import QL_VERBOSE

Qiling(sys.argv[1:], "/", verbose=QL_VERBOSE.DISABLED, console=False).run()
