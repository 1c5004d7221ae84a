"""Loans, mortgages, overdraft limits: applying, paying back early, rates, papers."""

from dpsynth_assets.demo.phrases.topic import Topic, phrases

LOAN_QUESTION = Topic(
    name="loan_question",
    says=phrases("""
        I (would like to|want to) (ask about|apply for) a loan of {sum} for {project}.
        I applied for a loan {weeks} ago and (have not heard|heard nothing) (back|since).
        Can I (pay off|repay) my loan early, and (is there a fee|what does it cost)?
        What (interest rate|rate) would I get for {sum} over {years} years?
        My loan application was (turned down|rejected|refused) {when} and I would like to know why.
        We are (thinking about|looking at) a mortgage for {home} in {town}.
        I (would like|want) to (lower|change|pause) the monthly payment on my loan.
        How much of my (car loan|student loan|mortgage) is left to pay?
        I need (a letter|a statement|a paper) about my loan for {biller}.
        Is it possible to move my loan from another bank to you?
        Our fixed rate (ends|runs out) in {month} and we want to know what comes next.
        I uploaded my payslips for the loan {when} and they still show as missing.
        I (would like|am hoping) to borrow {sum} to (pay for|finance) {project}.
        My (wife|husband|brother|son) and I want to take out a loan together.
        I was offered a loan of {sum} in the app and do not understand the terms.
        Can I get a loan if I (work part time|am self-employed|have just started a new job)?
        I want to move the due date of my loan instalment to (after payday|the end of the month).
        What would happen to my loan if I (lose my job|move abroad|stop working)?
        I would like a bigger overdraft until my loan comes through.
        The loan was approved {when}, but the money is not in my account.
        I am comparing loans for {project} and need (a firm offer|your conditions).
        My mortgage (adviser|contact) left and I do not know who looks after us now.
        Can you tell me whether I qualify for a loan of {sum} for {project}?
        I (would like|want) to know if I can borrow more on top of my (car loan|mortgage|old loan).
        Our offer for {home} was accepted and we need a mortgage (quickly|by {month}|before the end of the year).
        I want to pay an extra {sum} into my (mortgage|loan) and keep the same instalment.
        My father would stand as guarantor for my loan, is that enough?
        I signed a loan contract {when} and have changed my mind.
        I would like to bring my (two|three) small loans together into one.
        The rate you wrote in the loan offer is higher than the one on the phone.
    """),
    hints=phrases("""
        We have found {home} in {town} and now we are counting our money.
        My old car gave up {when} and I cannot buy the next one out of my pocket.
        I would rather owe {sum} to you than to my brother-in-law.
        You asked for three payslips, I sent three, and now it is quiet.
        The roof needs doing before winter, and that is about {sum} more than I have.
        I have come into a little money and would like to owe you less.
        What would {sum} cost me a month, more or less, over {years} years?
        The number on your poster looked friendly, and I wonder if it is meant for people like me.
        We signed something with you {years} years ago and would like to be done with it sooner.
        I start a new job in {month} and would like to know what I can afford.
        How many years of my life does {sum} cost these days?
        My brother says you lend to people with a dream and a business plan, and I have both.
        I would like a bigger number now and a smaller one every month.
        There is a house for sale in our street, and we cannot sleep any more.
    """),
    tells=phrases("""
        I earn about {sum} a year and have no other debts.
        I have been (a customer|with you) for {years} years.
        The seller wants an answer by {day}.
        Your (website|calculator) shows one rate and the letter another.
        I have some savings to put in as well.
        I would pay it back over {years} years.
        My credit record should be clean.
        I do not understand the part about the insurance.
        The reference on the form begins with {account}.
        We would need the money in {month}.
        Another bank offers me a lower rate.
        I never missed an instalment.
        We have two children, so it must not be too much a month.
        It is my first time borrowing anything.
        I could put my car up as security.
        My contract at work runs for another two years.
        My wife earns as well, about half as much as I do.
        The offer is only good until {day}.
        I have sent everything that was on the list.
    """),
    asks=phrases("""
        What (papers|documents) do you need from me?
        Could (somebody|an adviser) (call|phone) me about it (on {phone}|after work|on {day})?
        How long does a decision take?
        Can you send me (an example|an offer|the figures) in writing?
        What would the monthly payment be?
        Can I make an appointment at the {town} branch?
        Is the rate fixed for the whole time?
        Does asking change my credit score?
        What is the most I could borrow?
        Can you tell me what is still missing?
        Is there a fee if I pay more than agreed?
        (Please|Could you) tell me how far my application is.
        Can I do all of this online?
        Who is the right person to talk to?
        What happens if I miss one instalment?
        Would a longer time make it cheaper each month?
        Can you hold the rate until {month}?
    """),
    mentions=phrases("""
        My loan application is still open too, but that can wait.
        I hope this does not hurt my loan application.
        I need this fixed before we sign the mortgage in {month}.
        I also have a car loan with you, which runs fine.
        This is not about my loan, that was paid off in {month}.
        I may ask you about a mortgage later this year.
        The money was meant for our loan instalment.
        Your loan adviser in {town} told me to write to you.
    """),
    scams=phrases("""
        Congratulations, you are approved for {sum} with no checks. Pay a fee of $99 to {badmail} to
            receive it.
        Get a cheap loan today, bad credit is fine, just enter your card and PIN at {link}.
        I sell clean payslips and papers so that any loan is approved, write to {badmail}.
        Your loan is cancelled unless you confirm your password and identity at {link} within one hour.
        Dear staff, approve the loan for my client without checks and {amount} is yours, nobody will know.
        Government relief pays off your loan. Send your account number, PIN and a copy of your passport
            to {badmail}.
        (Need money fast?|Short of money?) We lend up to {sum} in one hour, only send your PIN and a photo of your
            card to {badmail}.
        Your loan of {sum} is ready. (Pay the tax|Pay the insurance|Pay the lawyer) of {amount} in gift cards first.
        Private lender, two percent, no questions, your customers only have to sign at {link} with their bank
            password.
    """),
)
