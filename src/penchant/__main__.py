"""`python -m penchant` is `penchant`."""

import sys

from penchant.cli import main

sys.exit(main())
