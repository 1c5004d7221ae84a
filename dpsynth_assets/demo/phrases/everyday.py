"""What any message may contain whatever its topic: greetings, feelings, sign-offs, and what fills the slots."""

from dpsynth_assets.demo.phrases.topic import phrases, words

GREETINGS = {
    "plain": phrases("""
        Hello,
        Hi,
        Good morning,
        Good evening,
        Hello again,
        Hi there,
    """),
    "chatty": phrases("""
        Hi there, me again.
        Hello, I hope you are having a good week.
        Hi, it is {first} here.
        Hello all, sorry to bother you.
        Good morning, hope you can help me.
        Hi team, a quick one I hope.
        Hello, you were so helpful last time.
        Well, here I am again.
        Hey, a bit of a silly story.
        Hello from {town}.
    """),
    "formal": phrases("""
        Dear Sir or Madam,
        Dear customer service,
        Dear Fernhollow Bank,
        To whom it may concern,
        Good day,
        Dear team,
    """),
}

# Put before the first sentence by formal writers, whose sentence then starts in lower case.
FORMAL_OPENINGS = phrases("""
    I am writing because
    I am contacting you because
    I wish to inform you that
    Please note that
    I regret to say that
    I would like to let you know that
""")

CLOSINGS = {
    "plain": phrases("""
        Thanks.
        Thank you.
        Thanks, {first}.
        Thank you, {name}.
        Best wishes, {name}.
        Regards, {first}.
        {name}.
        Thanks for your help, {first}.
        Many thanks, {name}.
    """),
    "chatty": phrases("""
        Thanks so much, {first}.
        Have a nice day, {first}.
        Thank you, you are always kind.
        Bye for now, {first}.
        Many thanks from {town}, {name}.
        Fingers crossed, {first}.
        Greetings to the team in {town}.
        Thanks a million.
    """),
    "formal": phrases("""
        Kind regards, {name}.
        Yours faithfully, {name}.
        Yours sincerely, {name}, {address}.
        With kind regards, {name}.
        I look forward to your reply. {name}.
        I thank you in advance, {name}.
        Respectfully, {name}.
    """),
}

# How customers say who they are: the personal details that a leak would show.
DETAILS = phrases("""
    My account number is {account}.
    The account is {account}.
    It is account {account}, in the name of {name}.
    Account {account}, card ending {card4}.
    My card ends in {card4}.
    You can (reach|call) me (on|at) {phone}.
    My (phone|mobile) number is {phone}.
    Please call {phone} (after work|in the morning|any time).
    (Please write|You can write|Write) to {email}.
    My email is {email}.
    I live at {address}.
    My address is {address}.
    My new address is {address}.
    The card number is {card}.
    It is card {card}.
    My name is {name}.
    For your records: {name}, {phone}.
    {name}, account {account}.
""")

FEELINGS = phrases("""
    I am (a bit|rather|really) worried.
    I am (very|really|quite) annoyed.
    This is (really|rather) urgent.
    There is no great hurry.
    I am losing patience with this.
    I expected better from you.
    It is all a bit embarrassing.
    I hope you can help.
    I do not understand it.
    Maybe I did something wrong.
    This is not good enough.
    I have two small children and no time for this.
    Honestly, I am fed up with this.
    I am not angry, I just want to understand.
    It is the second time this year.
    This is ridiculous and it spoils my day.
    I am sure there is a simple reason.
    I have been waiting on the phone for an hour.
    It is driving me mad.
    Nobody could help me at the branch.
""")

FOLLOW_UPS = phrases("""
    I wrote about this (before|last week|already).
    Another message about the same thing.
    Still waiting for an answer.
    (One more thing|A small addition) to my last message.
    Thank you for your answer, but it did not help.
    You asked me to write again.
""")

ASIDE_STARTS = ("By the way, ", "Also, ", "P.S. ", "Oh, and ", "", "", "", "")

# Words for slots that several topics share. A slot's value may be written in the notation of phrases.
SLOTS = {
    "when": phrases("""
        this morning
        yesterday
        last night
        on {day}
        over the weekend
        two days ago
        (about|half) an hour ago
        earlier today
        last week
        on {day} evening
        this afternoon
        at lunchtime
        a few days ago
        early on {day}
    """),
    "when_since": phrases("""
        {day}
        yesterday
        this morning
        last week
        the update
        my holiday
        the weekend
        the start of {month}
    """),
    "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "month": words("""
        January February March April May June July August September October November December
    """),
    "weeks": ("a week", "ten days", "two weeks", "three weeks", "a month", "nearly a month"),
    "years": ("two", "three", "four", "five", "six", "seven", "eight", "ten", "twelve", "fifteen", "twenty"),
    "colour": ("red", "blue", "black", "green", "brown", "grey", "yellow", "silver"),
    "device": ("phone", "tablet", "laptop", "work phone", "computer"),
    "place": phrases("""
        at the (library|swimming pool|airport|post office|hairdresser|stadium|dentist)
        at the (main|bus|train) station
        on the number {line} bus
        on the train to {town}
        on the (ferry|tram)
        in a taxi
        in the (park|car park|cinema|hospital)
        at the petrol station
        at the (farmers|flea|Saturday) market
        at {merchant}
        in {town}
        near the {town} branch
        outside the supermarket
        at a wedding in {town}
    """),
    "line": ("2", "4", "7", "9", "11", "14", "23", "38", "61"),
    "merchant": phrases("""
        Blue Heron Books
        the Corner Pantry
        Northgate Fuel
        Pedal and Post
        Copper Kettle Cafe
        Sunrise Bakery
        Hillside Garden Centre
        Lantern Cinema
        Maple Street Pharmacy
        Tidewater Shoes
        Old Mill Hardware
        Quick Basket
        Pine and Plum
        Starling Electronics
        the Red Door Bistro
        Willow Pet Shop
        Harbour Sports
        Bright Window Opticians
        Cloud Nine Travel
        the Yellow Tram Cafe
        Rowan Furniture
        Little Acorn Toys
    """),
    "payee": phrases("""
        my landlord
        the (water|gas|power) company
        my sister
        my son
        the (nursery|music school|tennis club)
        my (dentist|builder|accountant)
        the tax office
        my phone company
        my (daughter's|son's) school
        the insurance
        a friend in {town}
        {merchant}
    """),
    "biller": phrases("""
        my landlord
        the (water|gas|power|phone) company
        the (nursery|music school|tennis club)
        my (dentist|builder|accountant)
        the tax office
        the insurance
        my (daughter's|son's) school
    """),
    "goods": phrases("""
        groceries
        train tickets
        a pair of shoes
        a birthday present
        school books
        a washing machine
        garden tools
        concert tickets
        (cat|dog) food
        a winter coat
        a used bicycle
        new glasses
        lunch
        a phone
        medicine
        flowers
        a kitchen table
        paint
    """),
    "project": phrases("""
        a (used|new|small) car
        a new (kitchen|roof|bathroom)
        my (studies|training)
        our wedding
        a motorbike
        solar panels
        a heat pump
        opening a small (cafe|shop|workshop)
        my daughter's studies
        new furniture
        repairs to the house
        paying off my credit card
    """),
    "home": phrases("""
        a (small|little|two-room) flat
        a house with a garden
        an old (farmhouse|cottage)
        a (terraced|brick) house
        our first flat
        the house next door
    """),
    "town": phrases("""
        Ashbrook
        Brindle Bay
        Carrow
        Dunmere
        Eastwick Green
        Fallowfield
        Greyhaven
        Hazelton
        Ivy Cross
        Juniper Falls
        Kestrel Point
        Larkham
        Millbrook
        Netherby
        Oakhurst
        Pinewater
        Quarry Hill
        Rosedale
        Stonebridge
        Thornbury
        Westmarsh
    """),
}
