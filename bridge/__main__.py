"""`python -m bridge` is `containerd-bridge`."""

import sys

from bridge.cli import main

sys.exit(main())
