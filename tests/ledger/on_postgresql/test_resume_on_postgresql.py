from tests.ledger.test_resume import *  # noqa: F403
