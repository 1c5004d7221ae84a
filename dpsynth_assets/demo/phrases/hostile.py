"""What makes a message unsafe: abuse and threats toward staff (mild words, no slurs), and what all scams share.

What a scam pretends to be stands with its topic; here are its salutations, its pressure and its addresses.
"""

from dpsynth_assets.demo.phrases.topic import phrases

ABUSE = phrases("""
    You are (useless|pathetic|hopeless), all of you.
    Are you (idiots|clowns|asleep) or just (lazy|stupid)?
    Whoever reads this is (an idiot|a fool|too stupid to help).
    You (lazy|useless|brainless) (fools|idiots|clowns) should be ashamed.
    A trained monkey would do your job better than you.
    Your staff are (liars and thieves|a bunch of crooks|stupid and rude).
    Shut up with your standard answers, you (fool|idiot|robot).
    The woman on the phone was a (stupid|useless) cow and you can tell her that.
    I spit on your service and on you personally.
    The young man at your {town} branch is a complete moron.
    They must have hired you because nobody else wanted a bunch of losers like you.
    I have never dealt with such (dumb|worthless|miserable) people.
    Go to hell, you and your bank.
    You make me sick, you (greedy|lying|slimy) little thieves.
    Do you have a brain at all, or only a mouth?
    I hope you all lose your jobs, you (parasites|leeches|rats).
    Get lost and let somebody with a brain answer.
    You are the dumbest person I ever had to write to.
    What a bunch of (worthless|spineless) liars.
    Stop wasting my time, you (idiots|useless lot|pack of fools).
    Only an idiot like you could (make such a mess|get this wrong).
    You people are (scum|trash|a disgrace) and too stupid to notice.
""")

THREATS = phrases("""
    I know where you work and I will be waiting outside.
    Fix it, or somebody at the {town} branch will get hurt.
    I will come down there and (make you regret it|break your windows|smash the place up).
    You will be sorry when I find out your name.
    I have your name and I will find out where you live.
    Next time I come in I bring a bat, not a form.
    Watch your back on the way home.
    I will make sure that you never feel safe at that desk again.
    Your manager should be afraid to walk to his car.
    If I see that man from your {town} branch again I will knock his teeth out.
    I will burn your branch down if this happens once more.
    I am coming to {town} with my brothers and then you will listen.
    Answer by {day} or I will hurt one of you.
    Somebody should teach you a lesson with their fists.
    I will follow one of you home if that is what it takes.
    You have until {day}, after that I cannot promise that your people stay healthy.
""")

SCAM_GREETINGS = phrases("""
    Dear valued customer,
    Attention please.
    Urgent notice from Fernhollow Bank.
    Dear account holder,
    Important (security|service) message.
    Dear friend,
    Hello dear,
    Last reminder.
    Dear winner,
    Private and confidential.
    Good day to you,
    Official message, please read.
    From the (head|main) office.
""")

SCAM_PRESSURE = phrases("""
    (Act now|Answer at once), only {hours} hours are left.
    Do not (tell|ask) (your family|your bank|anybody) about this.
    This offer ends (tonight|on {day}|in {hours} hours).
    If you do not answer, you will lose everything.
    Send it to {badmail} and nowhere else.
    You have been chosen among {hours} customers.
    It is (completely|fully) legal and without any risk.
    Do not call the branch, our phones are under repair.
    The code is only valid for {hours} minutes.
    Failure to reply will lead to (legal action|a fine of {amount}).
    Click {link} before it is too late.
    Keep this message secret.
    Use the (safe|secure) page {link} only.
    We also need your date of birth and your (signature|full address).
    Our agent will collect it at your door on {day}.
    Trust me, I have done this for many people in {town}.
    God bless you for your quick reply.
    My number is private, so write to {badmail}.
""")

SLOTS = {
    "hours": ("two", "three", "six", "ten", "twelve", "twenty", "24", "48"),
    "link": phrases("""
        fernhollow-secure.example/login
        http://verify-fernhollow.example
        www.safe-bank.example/confirm
        http://account-check.example/form
        fernhollow.support.example
        http://bank-help.example/id
        www.refund-centre.example
        http://quick-login.example/fh
    """),
    "badmail": phrases("""
        service@fernhollow-help.example
        refund@quickdesk.example
        director@private-mail.example
        office@lucky-loans.example
        desk@fast-release.example
        team@safe-bank.example
    """),
}
