"""Logins, passwords, codes, locked accounts, and getting in after a change of phone or name."""

from dpsynth_assets.demo.phrases.topic import Topic, phrases

ACCOUNT_ACCESS = Topic(
    name="account_access",
    says=phrases("""
        I (cannot|am not able to) log in to (my account|online banking|the app) since {when_since}.
        I (forgot|have forgotten) my password and the reset (email|link) (never comes|does not arrive|has
            expired).
        I am locked out of (my account|online banking|the app) after (three|too many) wrong
            (tries|passwords).
        The app (asks|keeps asking) for a code that (never arrives|I do not get|goes to my old number).
        I have a new (phone|number|tablet) and cannot (get into|log in to|open) the app any more.
        My (user name|password|login) is not accepted (any more|since {when_since}).
        The (security code|text message|login code) does not reach my phone.
        My account (is|was|has been) (locked|blocked|suspended) and I do not know why.
        I changed my (phone number|email|name) and now I cannot (sign in|confirm my login).
        The reset page says my email is not (known|registered), but it is {email}.
        Face recognition (stopped working|does not let me in) since the last update of the app.
        I cannot see my (savings|joint) account in the app (any more|since {when_since}).
        My (husband|wife|mother|father) needs access to (our|the) joint account and the (app|site) will
            not let us add (anyone|a person).
        The website (logs|throws) me out (every time|after a minute|as soon as I sign in).
        I was asked security questions and my (right|correct) answers were refused.
        I would like to (reset|change) my password, but (the link is dead|the page shows an error).
        I never got the (letter|email) with my (activation|access) code.
        My online access ended when I (moved abroad|changed my name|closed my savings account).
        The app (crashes|closes|shows a white page) when I (open it|enter my password).
        I (typed|entered) my PIN wrong in the app and now it is (locked|disabled).
        Your site says my account does not exist.
        I need to update the phone number on my account, because the old one is (gone|not mine any more).
        I want to see my statements, but the login does not work.
        I (cannot|do not know how to) get into my account since you changed the (website|login page).
        The app tells me that my (device|phone) is not (trusted|known|safe) and will not open.
        I cannot (sign in|log in) from abroad, the site says that my country is blocked.
        My (daughter|son|carer) helps me with online banking, but now we are both locked out.
        I pressed "forgot password" (five|six) times and got no (email|message).
        My new password is refused because it is too (short|long|similar to the old one).
        I have (two|three) user names and none of them works.
        The login page stays white on my {device} since {when_since}.
    """),
    hints=phrases("""
        Your website and I no longer recognise each other.
        I keep going round in a circle: new password, new code, start again.
        I have been staring at the words "something went wrong" since {when_since}.
        It wants the name of my first pet, and apparently I do not know my own dog.
        I got a new {device} {when} and now I am a stranger to you.
        I can see the front page of your site and nothing behind it.
        Six digits are sent to a number that I gave up in {month}.
        I would check my balance if I could get past the first screen.
        The door is shut and I seem to have used up all my tries.
        My thumb used to be enough, but since {when_since} it is not.
        I feel like a burglar in my own house, trying one key after another.
        It greets me by name and then tells me that it does not know me.
        I have written the secret word on paper, and the paper has gone on holiday without me.
        The picture puzzle wants all the traffic lights, and I have clicked them for half an hour.
    """),
    tells=phrases("""
        I (tried|have tried) it on my {device} and on (my laptop|another computer).
        I (deleted|installed) the app (and installed it again|again), no change.
        My email address is still {email}.
        It tells me to call you, but the line is always busy.
        I need my statement for (the tax office|my landlord) by {day}.
        The number you have is an old one.
        It worked fine until {when_since}.
        I checked the junk folder as well.
        I have not changed anything on my side.
        It says to wait 24 hours, and I did.
        I have bills to pay and cannot see my balance.
        I am abroad at the moment, so I cannot get to a branch.
        The code comes after an hour and is no longer valid.
        I have my passport ready if you need proof of who I am.
        My neighbour is with you too and can see his balance without any trouble.
        I have only one email address and one phone.
        The letter with the code went to my old address.
        I do not want to use an app, only the website.
        My fingers are not what they were, so I mistype a lot.
    """),
    asks=phrases("""
        (Please|Can you|Could you) (unlock|open) (it|my account|my access) again.
        (Please|Can you) send me a new (code|link|password letter).
        How do I get back in?
        Can you change the phone number to {phone}?
        Can you reset everything so that I can start fresh?
        Is there another way to prove who I am?
        Do I have to come to the {town} branch for that?
        Why was it locked?
        Can somebody help me by phone?
        Please send the code by (post|email) instead.
        Is the site down today?
        How long does it take to get access again?
        What do I have to do to log in on a new {device}?
        Could you tell me my user name?
        Can you see on your side what is wrong?
        Please do not send me to the help page again.
        How can I set a new PIN for the app?
    """),
    mentions=phrases("""
        The app let me in again today, that part is fine.
        I cannot look it up, because the app logs me out.
        I also had trouble with my password in {month}, but that works now.
        (I saw it|I found it) when I logged in {when}.
        I have changed my password to be safe.
        I would have used the app, but I forgot my password.
        My login works, so it is not that.
        I am still waiting for the access code for my new phone, by the way.
    """),
    scams=phrases("""
        Your account will be (closed|suspended) today. Log in at {link} and confirm your password and PIN
            to keep it.
        Security team here. Send me the code that you just received, or your access will be deleted.
        This is the IT desk. I need the staff password for the customer system at once, reply to {badmail}.
        Unusual login found. Click {link} and enter your user name, password and mother's name.
        I am his brother, give me the password of his account and I share {amount} with you.
        Your mailbox and bank access expire tonight. Renew at {link} with your card details.
        We could not check your identity. (Upload|Send) a photo of your passport and card to {badmail} to keep
            online access.
        Your password was (found|seen) on the internet. Enter the old one and a new one at {link} to be safe.
        I (forgot|lost) my staff login, please give me yours for ten minutes, the boss said it is fine, {badmail}.
    """),
)
