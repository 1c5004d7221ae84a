from tests.ledger.test_book import *  # noqa: F403
