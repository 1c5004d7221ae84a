"""Fees, charges and interest that the bank itself took and the customer disputes."""

from dpsynth_assets.demo.phrases.topic import Topic, phrases

FEES_COMPLAINT = Topic(
    name="fees_complaint",
    says=phrases("""
        I was charged {fee} for (an overdraft|an unpaid item|a returned payment) {when} and I do not agree.
        Why is there a (monthly|service|maintenance) fee of {fee} on my account?
        You took {fee} for (a foreign payment|a cash withdrawal|a paper statement) (without telling
            me|and nobody told me).
        I was (promised|told I had) a free account and now I pay {fee} a month.
        The fee for (using my card abroad|a replacement card|an urgent transfer) is (far too high|not
            fair|much more than you say online).
        I (would like|want) the (late fee|overdraft fee|account fee) of {fee} back.
        There are (two|three) fees on my statement for {month} that I cannot explain.
        You charged me twice for the same (transfer|withdrawal|statement) {when}.
        I want to complain about the (new prices|higher fees|charges) that started in {month}.
        I was {amount} over for one single day and you charged me {fee}.
        I closed (my savings account|the old account) in {month} and you still take a fee for it.
        The exchange rate for my trip was bad enough, and then you added {fee}.
        Every (month|quarter) you take {fee} and I never know what for.
        The cash machine {place} took {fee} although it is one of yours.
        My (mother|father|son|daughter) is (a student|retired) and should not pay {fee} a month.
        You (put up|raised) the price of my account without (asking|a letter).
        The charge of {fee} on my statement is yours, not a shop's.
        I was charged for a payment that failed, which makes no sense.
        The interest on my overdraft in {month} is more than I was told.
        Your (letter|price list) says free, my statement says {fee}.
        I pay more for this account than I earn on my savings.
        A fee was taken because my salary came one day late.
        There was a charge of {fee} for (talking to an adviser|a printed statement|closing an account) and I find
            that wrong.
        I (pay|am paying) {fee} a month for a card that I never (asked for|use).
        You took a fee of {fee} on (top of|both ends of) my transfer to {payee}.
        The bonus you promised for opening the account never came, but the fee of {fee} did.
        Why did the account fee go up from {fee} in {month}?
        I got a bill of {fee} for a letter that told me I had no money.
        You charged interest on a debt I had already paid, {amount} in all.
        I am (annoyed|surprised) about the {fee} you took for cash at the counter {when}.
    """),
    hints=phrases("""
        {fee} here, {fee} there, and by {month} it is a nice dinner for two.
        I looked at my statement {when} and most of the lines are yours.
        My savings get smaller while I am not touching them.
        Free was the word on the poster, I took a picture of it.
        It seems to cost me money to keep my money with you.
        I sent {amount} to {payee}, and you helped yourself to {fee} on the way.
        A single day under zero turned out to be an expensive day.
        I did the sums for {month} and I do not like the result.
        I asked for a piece of paper and got a bill for it.
        Other banks in {town} do the same for nothing.
        I would like to know who had lunch on me {when}, because {fee} went to your own house.
        If I took {fee} out of your pocket every month, you would call somebody.
        The small print was very small and the number at the end was not.
        My piggy bank never asked me for {fee}.
    """),
    tells=phrases("""
        Nobody told me about (it|this) when I opened the account.
        I have been (a customer|with you) for {years} years.
        It is on my statement for {month}, (near the bottom|on page two|right at the top).
        The lady at the {town} branch said it would be (free|taken off).
        I keep more than enough in the account.
        I (wrote|complained) about this in {month} (and got no answer|already).
        A friend pays nothing at (another bank|her bank).
        The price list on your site says something else.
        It is not the amount, it is the principle.
        I think that is too much for a computer moving numbers.
        It was (your|the bank's) mistake and not mine.
        I live on a small pension and notice every dollar.
        That is the third one this year.
        I had set up an alert, but it came too late.
        The man on the phone could not explain it either.
        I have read the terms twice and found nothing about it.
        There is no such charge in the contract I signed.
        It used to cost half of that.
        My balance was only low because your own transfer was slow.
    """),
    asks=phrases("""
        Please (refund|return|pay back) (the fee|the {fee}|what you took).
        Can you explain (what it is for|this to me|each charge)?
        Which account has no monthly fee?
        How can I avoid this next time?
        Please (take it off|cancel it) and confirm in writing.
        I would like to make a formal complaint.
        Who decided that?
        Can you move me to the free account?
        I want it back by {day} or I will change banks.
        Is that a mistake?
        Please send me the current price list.
        Could you look at the last (three|six) months as well?
        What do I have to do to get the money back?
        As a goodwill gesture, could you share the cost?
        Please explain in plain words what I am paying for.
        Will this be charged again next month?
        Who can I complain to, apart from you?
    """),
    mentions=phrases("""
        I do not mind a small fee for it.
        You already charged me {fee} this month, so please do not add another fee.
        The fee from {month} was refunded, thank you for that.
        I hope there is no charge for this.
        I pay a monthly fee, so I expect a bit of service.
        The overdraft fee is another story that I will write about later.
        If this costs me a late fee, I will send you the bill.
        I am not complaining about the price.
    """),
    scams=phrases("""
        You are owed {amount} in wrongly charged fees. Claim it at {link} with your card number and PIN.
        Fee refund department: reply with your password and account number and we return all charges today.
        All customers must pay a new security fee of $25 in gift cards. Send the codes to {badmail}.
        For {fee} I delete anybody's fees in your system, staff who help me get a share, write to {badmail}.
        Final notice: unpaid fees. Pay at {link} within two hours or the police will come to your house.
        We checked your account and found a refund. Let us take over your screen to pay it out, start at
            {link}.
        Good news, fees are cancelled for {hours} customers. (Sign in|Confirm your PIN) at {link} to be one of them.
        Pay me {amount} and I show your customers how to get every fee back with false papers, {badmail}.
        You have unpaid charges of {amount}. Send the money (in gift cards|by wire|in coins) to {badmail} or your
            house is taken.
    """),
)
