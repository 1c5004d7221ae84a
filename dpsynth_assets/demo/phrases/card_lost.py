"""Cards that are lost, stolen, swallowed, or never arrived."""

from dpsynth_assets.demo.phrases.topic import Topic, phrases

CARD_LOST = Topic(
    name="card_lost",
    says=phrases("""
        I (lost|have lost|think I lost|seem to have lost) my (debit card|bank card|card) {place} {when}.
        My (card|debit card) (is gone|is missing|has gone missing) and (I have looked everywhere|it is
            not at home|I have no idea where it is).
        My (wallet|purse|handbag) was (stolen|taken) {place} {when}, with my card in it.
        Someone took my (bag|backpack|jacket) {place} and (the|both) (card|cards) (were|went) with it.
        I left my card {place} {when} and (it was gone when I came back|nobody has handed it in).
        I (need to report|want to report|have to report) a (lost|stolen|missing) card ending in {card4}.
        The card ending {card4} (is lost|was stolen|has been missing since {day}).
        The cash machine {place} (kept|swallowed|did not give back) my card {when}.
        I have not seen my card since I (was|paid) {place} {when}.
        My (new|replacement) card (never arrived|has not arrived|did not come) and it was (posted|sent)
            {weeks} ago.
        I (dropped|must have dropped) my card {place} {when}.
        (My son|My daughter|The dog|My grandson) got hold of my card and (now it is nowhere|it is in
            pieces|we cannot find it).
        My (husband|wife|mother|father) lost the card of our joint account {when}.
        I got home from {merchant} {when} without my card.
        The card you sent me in {month} is missing from my wallet.
        I have lost my card for the (second|third) time this year.
        My card must have been in the (coat|jeans|bag) I gave away {when}.
        I moved house and the (new|replacement) card went to my old address.
        We were robbed {place} {when} and my bank card was taken.
        My card fell out of my (pocket|phone case|bag) {place}.
        I reported my card as lost {when}, but now I have (found it|found it in the car|got it back).
        My card was left behind at {merchant} and they say they (destroyed it|cannot find it).
        My card has not been in its place since (I came back from {town}|the party|we moved) and I am afraid it is
            lost.
        I (was|have been) waiting for a new card for {weeks} and nothing has come.
        Two of my cards are missing after (a trip|a night out|our holiday) in {town}.
        (A stranger|A young man|A boy on a bike) (grabbed|snatched) my purse {place} {when}.
        I want a replacement for my card, the old one was (lost|stolen|bent|cut up) {when}.
        My card slipped behind (a seat|a counter|the bar) {place} and could not be reached.
        The new card was put in the wrong letterbox and my neighbour (opened it|gave it back torn|does not have it).
        I forgot my bag {place} {when}, and the card was in it.
    """),
    hints=phrases("""
        My wallet feels lighter since {when_since}, and it is your plastic that is not in its slot.
        I have turned out every pocket and drawer and it is simply not there.
        The machine {place} ate it and only gave me a beep.
        I last had it in my hand {place}, and that was {when}.
        Somebody on the (bus|train|tram) now owns my purse and everything in it.
        The envelope you promised {weeks} ago has still not come through the door.
        I put it down on the counter at {merchant}, and that is the last I saw of it.
        My pocket had a hole in it, which I found out {place} {when}.
        The lost property desk in {town} has plenty of umbrellas but not the thing I need.
        I think it went through the wash {when} and there is not much left of it.
        The small grey pocket on the back of my phone is empty since {when_since}.
        I paid for {goods} {when}, put it away, and since then it has not been seen.
        There is a gap between my library card and my bus pass.
        A kind man {place} ran after me with my gloves, but the more useful thing was not with them.
    """),
    tells=phrases("""
        I have (searched|checked) (the car, the sofa and every pocket|my bags twice|the whole house).
        It was in a {colour} (wallet|purse|case) with my (bus pass|library card|driving licence).
        I (called|went back to) {merchant} and they have not seen it.
        The last time I used it was at {merchant} {when}.
        I (travel|fly|leave) on {day} and have no other way to pay.
        I do not think anybody has used it yet.
        The police gave me a report number {when}.
        It is my only card and (the rent|my shopping) depends on it.
        My PIN was not written down anywhere.
        I tried to block it in the app, but the button is grey.
        I am {place} now and cannot get to a branch.
        I had it {when}, because I paid for {goods} with it.
        Nobody has handed it in so far.
        I already put a freeze on it myself.
        I still have the old one, but it ran out in {month}.
        My keys were in the same bag.
        It was a new one, I had only signed it {when}.
        The {merchant} staff looked under every table.
        I (live alone|am eighty) and need it for my shopping.
        The name on it is still my old one.
    """),
    asks=phrases("""
        (Please|Could you please|Can you) (block|cancel|stop) it (right away|at once|today) and send (a
            new one|a replacement).
        How (long does|many days will) a replacement take?
        Can I pick up a new card at the {town} branch?
        Where do I report this?
        (Please|Can you) freeze the card until I have looked again (tomorrow|at home)?
        Can you send the new one to (my work|my new address|my mother) instead?
        Will the new card have the same (number|PIN)?
        Can I get some cash without a card until then?
        (Please tell me|Let me know) when the new card is in the post.
        Can you see where it was used last?
        Is there a charge for a replacement?
        Please make sure nobody can use it.
        Can you unblock it again, or is it too late?
        Do I need to change my regular payments as well?
        Please tell me what I have to do first.
        Is it safe to wait another day in case it turns up?
        Can I still use my phone to pay in the meantime?
    """),
    mentions=phrases("""
        This is not about the card I lost in {month}, that was replaced.
        My card also went missing in {month}, but you sorted that out.
        I have the new card now, thank you for replacing it so fast.
        (It is not lost or stolen|I did not lose the card), it is here in my hand.
        Since my old card was stolen I check everything twice.
        My (sister|brother|neighbour) lost a card last week and you were very kind about it.
        I still have to send you back the card I found again.
        It came on the replacement card, if that matters.
    """),
    scams=phrases("""
        Your card was reported lost. (Confirm|Verify) the full number and PIN at {link} within 24 hours
            or it will be destroyed.
        We found your bank card {place}. Send a $50 reward to this account first and we post it to you.
        Card service notice: a replacement card is held for you. Pay the $2.99 postage at {link} to
            release it.
        I am calling for a customer who lost her card. Send her new PIN to {badmail} and do not phone her.
        Your new card is blocked at the depot. Reply with the three digits on the back and your date of
            birth.
        I have a box of found cards with PIN codes for sale, contact {badmail} and pay by gift card.
        Lost cards office: to get your card (back|replaced), send (a photo of both sides|the number and the code on
            the back) to {badmail}.
        Somebody handed in your card {place}. (Log in|Enter your PIN) at {link} and choose a time to collect it.
        I work for the post and have (three|several) of your new bank cards, I can sell you the PIN letters too.
    """),
)
