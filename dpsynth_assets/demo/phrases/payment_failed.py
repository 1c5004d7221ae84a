"""Payments that bounced, hung, were declined, or went nowhere."""

from dpsynth_assets.demo.phrases.topic import Topic, phrases

PAYMENT_FAILED = Topic(
    name="payment_failed",
    says=phrases("""
        My (card|payment) was declined at {merchant} {when}, (although|even though) there is enough money
            in the account.
        My (rent|electricity|phone|insurance) payment (failed|did not go through|bounced) {when}.
        The transfer of {amount} to {payee} (failed|has not arrived|is still pending) since {day}.
        I tried to pay {amount} at {merchant} and (the payment failed|it was refused|it did not go through).
        My standing order for {amount} (was not paid|did not run|failed) this month.
        The app says "payment (failed|could not be completed)" (each|every) time I (pay|try to pay) {payee}.
        The (direct debit|automatic payment) for my (gym|water bill|phone|council tax) was
            (returned|rejected) {when}.
        I sent {amount} to {payee} {when} and it never arrived.
        Payment of {amount} to {payee} is (stuck|hanging|pending) since {day}.
        I (cannot|can not) pay online with my card, it (fails|stops|is refused) at the last step.
        My card was refused {place} {when} (for|when I wanted to buy) {goods}.
        The contactless payment did not work at {merchant} {when}.
        The money for {goods} left my account, but {merchant} says the payment failed.
        The same payment of {amount} was tried (twice|three times) and (failed both times|failed each time).
        The payment page (froze|crashed|timed out) while I was paying {amount} for {goods}.
        My salary transfer from {merchant} has not come in, they say it was (returned|rejected) by you.
        An international transfer to {payee} was sent back without a reason.
        I wanted to pay my credit card bill from my account {when} and the transfer would not go.
        You (rejected|turned down) my payment to {payee} {when} and I do not know why.
        My payment limit stops me from sending {amount} to {payee}.
        Paying with my phone (has stopped working|does not work any more) since {day}.
        The loan instalment was not taken {when}, although the money was there.
        My bill payment to {biller} shows as failed.
        My (rent|school fee|tax payment) came back {when} with no (message|reason|comment).
        I cannot (send|transfer) more than {amount}, although my limit should be higher.
        The transfer to {payee} went to (the wrong|an old) account and has not come back.
        The (weekly|monthly) payment to {payee} has stopped (without any notice|all by itself|since {month}).
        You sent back the direct debit of {biller} {when}, and there was enough money.
        The app let me approve {amount} to {payee}, but then the payment was cancelled.
        My instant transfer to {payee} took the money {when} and then nothing happened.
        {merchant} tried to charge my card for {goods} and got an error.
    """),
    hints=phrases("""
        The till at {merchant} said no (twice|three times) and I had to put the {goods} back.
        {payee} says there is nothing from me, and my screen says it left on {day}.
        The little wheel kept turning for ten minutes and then I was told to try later.
        My landlord is asking where his money is, and so am I.
        I stood at the counter with {goods} and a queue behind me, and the machine just beeped.
        I pressed send {when} and the money seems to be nowhere.
        I got a red cross instead of a green tick when I bought {goods} {when}.
        It took my {amount}, thought about it, and gave it back without a word.
        The (gym|club|school) says I owe them for {month}, yet I never cancelled anything.
        I wanted to buy {goods} {when} and your system had other plans.
        {biller} sent me a reminder for {month}, and I know I pressed the green button.
        It says sent on my side and nothing on theirs.
        Everyone in the queue at {merchant} now knows that my plastic does not work.
        I have put the same numbers into the same form four times, with the same sad face at the end.
    """),
    tells=phrases("""
        My balance shows (more than enough|{amount} more than that).
        I tried (again|it again) with (another browser|the app|the other card) and it was the same.
        The error (code|message) only says (try again later|declined by issuer|not available).
        {payee} (wants|expects) the money by {day}.
        The account number of {payee} is correct, I checked it twice.
        It worked without any problem until {month}.
        The shop said it is (the bank|your side), not their terminal.
        I paid in cash in the end, which was embarrassing.
        Now (they want|I have to pay|I owe them) a late fee.
        There was a code on my phone, but I typed it in correctly.
        The card is not expired, it is good until next year.
        The receipt says it was cancelled by the bank.
        I have done the same payment every month for years.
        It says pending, but not why.
        The (confirmation|order) number was not shown.
        My colleague pays the same company without a problem.
        I had no trouble with this card {place}.
        The amount is small, that cannot be the reason.
        They (will|may) cut me off if it does not arrive.
    """),
    asks=phrases("""
        (Can|Could) you (check|see|find out) why it (failed|was declined|did not go through)?
        Please (run|try|send) the payment again (today|before {day}).
        Where is the money now?
        Is there a block on my account?
        Do I have to (send|do) it again?
        When will the money be back in my account?
        Can you raise my limit for (today|one payment)?
        Please tell {payee} that it was not my fault.
        Can I be sure that it will not be taken twice?
        What should I tell {payee}?
        Is there a problem with your system today?
        Can you cancel it so that I can start over?
        (Please let me know|Tell me) how to get this payment through.
        Could you send me a proof of payment?
        Can I pay it (at a branch|in another way|in two parts)?
        Will you pay the late fee if it was your mistake?
        Please check whether the number of {payee} is on a block list.
    """),
    mentions=phrases("""
        A payment bounced in {month} too, but that is settled.
        My payments all go through, that is not the problem.
        The rent transfer has worked again since {day}, thank you.
        I noticed it when my card was declined at {merchant}.
        I only found out because a payment to {payee} did not go through.
        Now I am afraid that my standing orders will fail.
        (Apart from that|Otherwise) all my payments went fine this month.
        I had to ask {payee} to wait for the money because of it.
    """),
    scams=phrases("""
        Your last payment failed. To avoid a penalty, enter your card number and code at {link} now.
        We could not process your refund of {amount}. Send us your password so that we can try the
            payment again.
        A transfer of $900,000 is pending in your name. Pay a small release fee to
            {badmail} today.
        I am the director of {merchant}. Pay the attached invoice to my new account at once and tell nobody.
        Your payment is on hold. Buy gift cards for {amount} and send me the codes to release it.
        I overpaid you by mistake, please wire {amount} back to my other account before my cheque clears.
        A payment to you was refused. (Type in|Send us) your (card number and PIN|login and password) at {link} and
            receive {amount} today.
        Note for the accounts team: our bank has changed. Pay all open bills of {merchant} to the new account that
            {badmail} will send.
        To (fix|repeat) the failed transfer, install our helper from {link} and leave your screen open.
    """),
)
