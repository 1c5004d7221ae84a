from tests.ledger.test_blocks import *  # noqa: F403
