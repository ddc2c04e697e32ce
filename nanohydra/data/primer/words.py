"""The primer's everyday words in classes: colours, things, foods, places, animals, days, ...

A small vocabulary on purpose, so that a tokenizer of about 2000 entries covers it whole.
"""

from __future__ import annotations

COLOURS = tuple("red blue green yellow black white brown orange purple pink gray golden".split())
SIZES = tuple("big small old new long little shiny soft heavy broken wooden round".split())
THINGS = tuple(
    """ball kite book hat cup box bag lamp key coat drum bell bottle basket chair blanket doll boat
    brush candle clock comb cushion flag flute fork hammer helmet jar kettle ladder letter map
    mirror mug needle paddle pan pen pencil pillow plate pot ribbon ring rope scarf shell shovel
    spoon stone stick tent towel toy train truck vase wagon whistle bucket broom coin
    """.split()
)
COUNTABLE = tuple(
    """apple pear plum cookie egg nut carrot potato tomato orange lemon cherry banana peach card
    coin book pencil shell stone button marble flower leaf balloon sticker stamp candle box bottle
    cup plate spoon ribbon feather bead toy brick sock""".split()
)
FOODS = tuple(
    """soup bread cheese rice cake pie honey pasta jam noodles salad porridge beans corn fish
    pancakes potatoes carrots apples pears plums cherries grapes peaches lemons bananas berries
    nuts cookies eggs butter mushrooms tomatoes onions pumpkin""".split()
)
DRINKS = tuple("milk tea water juice coffee cocoa lemonade cider".split())
ANIMALS = tuple(
    """dog cat rabbit horse pony duck goat pig parrot hamster turtle mouse sheep cow donkey frog
    hen goose fox owl bear lion tiger snake spider wolf bee crow whale shark eagle lizard""".split()
)
PETS = tuple(
    "dog cat rabbit pony duck goat parrot hamster turtle mouse donkey frog hen lizard snake".split()
)
SCARY = tuple(
    "dogs spiders snakes bees mice bears wolves sharks ghosts storms geese frogs bats".split()
)
JOBS = tuple(
    """baker farmer teacher doctor nurse painter sailor singer driver cook tailor gardener writer
    builder pilot dancer fisher guard clown shepherd potter judge barber miner carpenter dentist
    librarian postman firefighter weaver""".split()
)
INSTRUMENTS = tuple(
    "piano flute drum violin guitar trumpet harp horn cello banjo organ fiddle".split()
)
SPORTS = tuple(
    "tennis football chess hockey golf rugby cricket basketball bowling darts badminton".split()
)
PLACES = tuple(
    """park garden kitchen school market library beach forest farm barn lake river hill shop church
    museum station harbor castle bridge bakery field zoo theater mill cave tower cellar attic
    playground meadow island""".split()
)
SPOTS = tuple(
    """box basket drawer bag cupboard bucket jar chest sink wardrobe oven suitcase pocket tent
    wagon""".split()
)
TOPS = tuple("bed table chair sofa carpet desk bench stairs shelf roof".split())
COVERS = tuple("bed table chair sofa tree bridge carpet desk bench stairs pillow shelf".split())
DAYS = tuple("Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split())
MONTHS = tuple(
    "January February March April May June July August September October November December".split()
)
VEHICLES = tuple("bus train bike boat car plane ship tram sled horse taxi truck".split())
CLOTHES = tuple("hat coat scarf shirt dress cap sweater jacket skirt vest".split())
FEELINGS = tuple("happy sad angry tired scared proud hungry bored excited lonely calm".split())
MATERIALS = tuple(
    "oak pine steel copper iron stone glass clay silver paper wool bamboo cork leather".split()
)
GOODS = tuple(
    """bells carpets apples clocks candles roses boots pears kites drums pots shoes hats lamps rings
    baskets pies toys lemons bricks""".split()
)
POWERS = tuple("wind steam sunlight water coal magnets springs electricity sugar heat".split())
EVERYDAY = tuple(
    dict.fromkeys(THINGS + COUNTABLE + ANIMALS + PLACES + COLOURS + FOODS + DRINKS + CLOTHES)
)
WATER_ANIMALS = tuple("ducks frogs geese swans turtles otters beavers crabs eagles bees".split())
HOUSE = tuple(
    """printer door gate garage boat car bike clock cat dog key safe shed tent table sofa lamp piano
    radio phone computer camera window oven kettle van truck wagon ladder cupboard chest box tower
    house bridge parcel letter book bag coat mirror carpet bed desk bench fence pump engine barrel
    fridge kite guitar painting robot plant tree roof cellar attic well basket tractor canoe
    """.split()
)
WHEREABOUTS = (
    *(f"in the {place}" for place in (*PLACES[:20], *SPOTS)),
    *(f"on the {top}" for top in TOPS),
    *(f"under the {cover}" for cover in COVERS),
    *(f"behind the {cover}" for cover in ("house", "barn", "shed", "door", "fence", "oven")),
)
