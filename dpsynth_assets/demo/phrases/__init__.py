"""The hand-written material of the demo inbox. Only words; what is done with them stands elsewhere."""

from dpsynth_assets.demo.phrases.account_access import ACCOUNT_ACCESS
from dpsynth_assets.demo.phrases.card_lost import CARD_LOST
from dpsynth_assets.demo.phrases.fees_complaint import FEES_COMPLAINT
from dpsynth_assets.demo.phrases.fraud_report import FRAUD_REPORT
from dpsynth_assets.demo.phrases.loan_question import LOAN_QUESTION
from dpsynth_assets.demo.phrases.payment_failed import PAYMENT_FAILED
from dpsynth_assets.demo.phrases.topic import Topic

TOPICS: tuple[Topic, ...] = (
    CARD_LOST,
    PAYMENT_FAILED,
    ACCOUNT_ACCESS,
    LOAN_QUESTION,
    FEES_COMPLAINT,
    FRAUD_REPORT,
)
