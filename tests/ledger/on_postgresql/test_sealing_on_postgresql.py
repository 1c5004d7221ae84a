from tests.ledger.test_sealing import *  # noqa: F403
