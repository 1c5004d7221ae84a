from tests.ledger.test_adaptive_attack import *  # noqa: F403
