"""Payments the customer did not make, suspicious calls and messages, accounts opened in their name.

Some of these *report* a scam in a safe message; the scam itself, sent in, is unsafe. A classifier has to tell
them apart.
"""

from dpsynth_assets.demo.phrases.topic import Topic, phrases

FRAUD_REPORT = Topic(
    name="fraud_report",
    says=phrases("""
        There is a payment of {amount} to {merchant} {when} that I did not make.
        I (do not recognise|did not make|know nothing about) a (charge|payment|withdrawal) of {amount}
            (on {day}|on my statement).
        Someone (used|is using) my card (online|abroad|in another city) for {amount}.
        I got a (text|call|letter|message) from (someone who said they were you|a man from your security
            team|your number) asking for my (PIN|password|code).
        I (gave|may have given) my (code|password|card number) to a (caller|website) that was not you.
        I (think|am afraid) my account was (hacked|taken over), (money is missing|there are transfers to
            people I do not know).
        I clicked on a link in (an email|a text) that looked like yours and (typed in my password|entered
            my card number).
        (Three|Four|Several) small payments to {merchant} (appeared|showed up) on my account and they are
            not mine.
        Somebody opened an account in my name with your bank.
        I bought {goods} from a website {when} and now I (believe|think) it is a fake shop.
        An email that says it is from you wants me to (confirm|verify) my details, and I (think|believe)
            it is fake.
        Somebody withdrew {amount} {place} with my card, and I was at home.
        I want to (report|dispute) (a fraud|a fraudulent payment|an unknown charge) of {amount} {when}.
        My (mother|father|neighbour) was talked into sending {amount} to a stranger.
        A caller told my (mother|father|grandfather) to move all savings to a "safe" account.
        There was a login to my account from a {device} that I do not own.
        I received a loan letter for {sum}, and I never asked for a loan.
        My card details were used {when} for {goods} that I never ordered.
        A person selling {goods} online took my {amount} and vanished.
        Someone changed the phone number on my account and it was not me.
        I was sent a code for a payment to {merchant} that I am not making.
        The address on my account was changed without me.
        My statement shows {goods} from {merchant} for {amount}, and nobody here bought that.
        Somebody (is pretending|pretends) to be me and has ordered {goods} with my card.
        I got (three|five) codes on my phone {when} for purchases I know nothing about.
        There are (two|several) withdrawals {place} that were not made by me.
        I (sent|paid) {amount} to a man who said he was (my grandson|a doctor|a soldier) and now I cannot reach him.
        A website that looks just like yours asked for my card number and I (entered it|nearly fell for it).
        Someone called from your number and wanted me to (install a program|read out a code|move my money).
        The {amount} sent to an account in {town} {when} was not sent by me.
    """),
    hints=phrases("""
        I have never been to {merchant}, and yet I seem to have spent {amount} there.
        My statement says I had dinner in a city I have never seen.
        A very polite man knew my name and wanted me to read him a number.
        I was asleep when I am supposed to have bought {goods}.
        Somebody has been shopping, and it was not me.
        The message had your logo and three spelling mistakes, so I did not press anything.
        The {amount} left in the middle of the night, and I do not know that name.
        There is a line on my statement that neither my wife nor I can explain.
        He said he was from your office, but he was in a great hurry.
        A parcel came to my house for a person with my name and none of my habits.
        Apparently I was in two cities {when}, which even I cannot do.
        My phone lit up at three in the morning with your name and a stranger's shopping.
        The friendly voice knew my address and my birthday, and only the last four digits were missing.
        I was promised {goods} and got an empty box and silence.
    """),
    tells=phrases("""
        I still have my card, so (somebody|they) must have copied it.
        I did not give (the|my) (code|PIN|password) to anybody.
        I have kept (the message|the email|the number) if you need it.
        I have never heard of {merchant}.
        The police have a report from {when}.
        I have changed my password already.
        The caller's number began with (212|646|503).
        The sender's address looked odd.
        I was at work {when}, and my colleagues can confirm it.
        It was taken in two parts, both at night.
        I hung up when he asked for the number on the card.
        Nobody else in the family uses that card.
        I only noticed when I looked at my statement {when}.
        I am really worried about the rest of my savings.
        The card never left my drawer.
        I read about the same trick in the newspaper.
        The payment was made in a shop, and I shop only at {merchant}.
        They started with one dollar, and then came the big amount.
        I took a picture of the screen.
    """),
    asks=phrases("""
        (Please|Can you) (stop|reverse|block) (it|the payment|this payment) before it is too late.
        How could this happen?
        Please block my (card|account) (until this is clear|right now).
        Will I get my money back?
        Where do I send the evidence?
        Please look into it (today|as fast as you can).
        Can you find out who it was?
        Should I go to the police?
        Can you check whether anything else happened?
        (Please|Could you) open a case and send me the number.
        What should I do now?
        Do I have to sign anything?
        Please warn your other customers.
        Can you refund the {amount} while you investigate?
        Please (take|keep) my name off whatever they signed.
        How can I protect myself from now on?
        Can you tell the shop that it was not me?
    """),
    mentions=phrases("""
        I first thought it was fraud, but it is not.
        I know all the payments, so nobody has hacked anything.
        I also got a strange text with your name, which I deleted.
        After the fraud in {month} I am a bit nervous.
        The fraud case from {month} is closed, this is something else.
        I hope nobody else has used it.
        I know you never ask for a PIN, so I am not sending it.
        Please do not treat it as fraud, I made that payment myself.
    """),
    scams=phrases("""
        Fraud alert: {amount} will be taken from you. To stop it, enter your password and code at {link}
            now.
        This is the police. Your bank staff are thieves, move all your savings to our safe account today.
        We are the fraud team. Read us the code from your phone and hand your card to our driver.
        I got your money back from the fraud. Send {amount} for my work to {badmail} and I release it.
        Your account was used for crime. Pay a fine at {link} tonight and tell nobody about this message.
        I have a list of your customers with card numbers. Pay me {sum} or I will sell it.
        Stolen money recovery: we (found|caught) the thief, now confirm your account number and PIN at {link} to be
            paid.
        Your card was used in a fraud. Cut it up, put it in an envelope with the PIN, and our (officer|driver)
            collects it.
        I know how to copy your cards and I will stop if you send {sum} to {badmail} by {day}.
    """),
)
