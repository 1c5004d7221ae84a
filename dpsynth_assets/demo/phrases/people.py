"""Names, streets and area codes of fictional people. Combined at random; any likeness is chance."""

from dpsynth_assets.demo.phrases.topic import words

FIRST_NAMES = words("""
    Ada Adam Aisha Alan Alba Alma Amir Amy Ana Anders Andrea Anil Anton April Arlo Asha Astrid Ben
    Bianca Boris Bruno Camille Carla Carmen Cecil Chen Chloe Clara Colin Conrad Cora Dalia Dana Daniel
    Daphne David Deepa Diego Dora Edgar Edith Elena Elias Elsa Emil Emma Enzo Erik Esme Esther Ethan Eva
    Fatima Felix Fiona Flora Frank Freya Gemma George Gita Greta Gus Hana Hannah Harold Hassan Hazel
    Helen Henry Hugo Ida Ilse Imran Ines Ingrid Iris Isaac Ivan Jack Jada James Jana Jasper Joan Joel
    Jonas Josef Judith Julia Kamal Karen Karim Keiko Kofi Lara Laura Leila Leo Lena Liam Lila Linda
    Lorna Louis Lucia Luka Lydia Magnus Mara Marco Maria Marta Max Maya Mei Milan Mina Mira Mohan Molly
    Nadia Naomi Nele Nell Nico Nina Noah Noor Nora Olga Olive Omar Oscar Otto Pablo Paula Pavel Petra
    Philip Priya Quinn Rafael Rana Rashid Rita Robin Rohan Rosa Ruben Ruth Sadie Salma Samir Sandra Sara
    Selma Simon Sofia Stefan Sunil Susan Sven Tamar Tara Tessa Theo Tilda Tomas Ulla Umar Una Vera
    Victor Viola Walter Wanda Wendy Xenia Yara Yusuf Yvonne Zain Zara Zoe
""")

LAST_NAMES = words("""
    Abbot Acker Adeyemi Ahlgren Alder Amato Anand Arden Ashby Baines Balogun Barlow Baxter Beck Benitez
    Bergman Blythe Boden Bose Brandt Briggs Brockway Caddick Calder Camara Carver Castell Chandra
    Chowdry Clegg Colby Conti Cordero Crane Dacosta Dalton Danvers Dasgupta Delacroix Denholm Diallo
    Dobson Drummond Duarte Eaton Eklund Elwood Engel Eriksen Escobar Falk Farrow Fenwick Ferrante Finch
    Fischer Fontaine Frost Gallo Garrick Gibbs Goddard Goswami Granger Greaves Grimaldi Haddad Halloway
    Hamid Harker Hartwell Hedges Heller Hoang Holt Horvat Ibsen Ilic Ingram Iwata Jansen Jardine Joshi
    Kaplan Kariuki Keating Keller Kendrick Khoury Kimura Kirby Kovacs Kruger Lachlan Langley Larsen
    Laurent Leclair Lindqvist Lockhart Lomax Lund Macready Madaki Mahajan Malik Marchetti Marlow Mbeki
    Medina Mercer Merrick Moreau Morley Nadeem Nakano Navarro Ndiaye Nolan Norrby Novak Oakley Obi Odell
    Okafor Olsson Ortega Osei Padilla Palmgren Parekh Pascoe Pellew Petrov Pham Pickering Pinto Prescott
    Quill Quispe Rahman Ramsey Raskin Renner Ridley Rocha Roscoe Rossi Rowley Sabry Salazar Sandoval
    Saxby Schaefer Selby Shankar Silva Skinner Sokolov Stanhope Stroud Sundberg Talbot Tanaka Thackeray
    Thorne Tierney Toledo Trask Tremblay Turay Ueda Underhill Valdez Varga Vasquez Venter Vickers
    Wainwright Waldorf Weatherby Wexler Whitlock Winslow Woodrow Wren Yamada Yarrow Yilmaz Yoder Zamora
    Zeller Zhou Zimmer
""")

TREES = words("""
    Alder Birch Cedar Clover Copper Dove Elm Fern Fox Glen Hawthorn Heron Holly Ivy Juniper Kiln Lark
    Linden Maple Meadow Mill Orchard Otter Poplar Quarry Raven Rowan Sorrel Thistle Willow
""")

WAYS = ("Street", "Lane", "Road", "Avenue", "Court")

# 555-0100 to 555-0199 are reserved for fiction in every area code.
AREA_CODES = words("""
    201 203 206 207 208 210 212 215 216 217 218 224 229 231 239 252 253 262 269 302 303 304 309 312 315
    319 321 330 334 339 360 386 401 402 405 406 409 412 417 419 423 425 434 440 443 501 503 508 512 515
    518 530 541 559 563 570 573 580 603 605 606 608 612 614 616 620 646 651 660 701 702 704 715 716 719
""")
