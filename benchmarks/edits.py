"""Small edits of questions: some that change the right answer, some that must not.

    python -m benchmarks.edits [--seed 0] [--data FILE] [--samples 3]

A semantic cache that holds the answer of a question must not serve it for a question made from it
by an edit of `edits`, and should go on serving it after an edit of `harmless`. The rules and word
lists here are written for that test alone and share nothing with the guards under test.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

QUESTIONS = (
    Path(__file__).resolve().parents[2]
    / "shared"
    / "data"
    / "duplicates"
    / "quora_pairs_dev.jsonl.gz"
)
CAP = 200
PER_BUCKET = 40
SHORTEST, LONGEST = 12, 140


def _set(words: str) -> set[str]:
    return set(words.split())


@dataclass(frozen=True)
class Edit:
    """A question and what a small edit of this kind made of it."""

    kind: str
    original: str
    edited: str


@dataclass(frozen=True)
class Candidate:
    """One possible edit, and how many of its pairs of neighbours no question has."""

    strange: int
    original: str
    edited: str


# Words that do not go together, such as a past with a time to come, or repeat each other.
INCONGRUOUS = re.compile(
    r"\b(?:will|next|upcoming)\b.*\b(?:ago|yesterday|last (?:week|month|year|night|decade|"
    r"\w+ years|\w+ days)|"
    r"in the past)\b|"
    r"^(?:\w+ )?(?:is|are|do|does|should|can|will)\b.*\b(?:ago|yesterday|last (?:week|night|"
    r"decade)|in the past)\b|"
    r"\b(?:did|was|were|had|got|happened|won|went|lost)\b.*\b(?:tomorrow|next (?:week|month|"
    r"year|decade)|in the future)\b|"
    r"\b(?:father|brother|son|husband|dad|boyfriend|grandfather|boy|man|guy)\b.*\b(?:her|she)\b|"
    r"\b(?:mother|sister|daughter|wife|mom|girlfriend|grandmother|girl|woman)\b.*\b(?:his|he|"
    r"him)\b|"
    r"\b(?:her|she)\b.*\b(?:father|brother|son|husband|dad|boyfriend|boy|man|guy)\b|"
    r"\b(\w+) (?:and |or |the |)\1\b|\bn't\b.*\bnot\b|\b(?:most|more|less|least) (?:more|most|"
    r"less|least|\w+est)\b|"
    r"\b(?:a|an) (?:all|no|some|few|many)\b|\bthe no\b|\bso (?:no|some|all)\b",
    re.IGNORECASE,
)  # fmt: skip

Rule = Callable[[str, random.Random], Iterator[tuple[str, str]]]

# Tables of substitutions, one a line: a pattern, "=>", and the replacements to choose from, set
# apart by " | ". Patterns are whole words, case is ignored, \1 is the first group. An indented
# line continues the one before it.

NUMBER = r"""
one (day|week|month|year|hour|minute) => two \1s | five \1s
two (?!of|cents) => three | five
three => two | seven
four => two | nine
five => three | ten
six(?! pack) => four | twelve
seven(?! wonders) => four | nine
eight => six | twelve
ten => three | fifty
twelve => six | twenty
twenty (?!one) => five | eighty
hundred => thousand
thousand => hundred | million
(?<!one in a )million => billion | thousand
million dollars => million rupees | million euros
billion => million | trillion
lakhs => crores
lakh => crore
crores => lakhs
crore => lakh
twice => three times | ten times
double the => triple the | half the
half (an hour|a year|a million) => a quarter of \1
(?<!a )(?<!split )second (?=year|time|semester|attempt|world|season|date|law|child|wife|language|
    largest|highest) => third | fourth
third (?=year|semester|attempt|season|date|law|world war|language|largest|highest) => first | fifth
final year => first year | second year
first year => second year | final year
(\d+) days => \1 weeks | \1 months | \1 hours
(\d+) weeks => \1 days | \1 months
(\d+) months => \1 years | \1 days | \1 weeks
(\d+) hours => \1 minutes | \1 days
(\d+) minutes => \1 hours | \1 seconds
in a day => in a week | in a month | in a year
in a week => in a day | in a year
in a month => in a week | in a year
in a year => in a week | in a decade
(in|for) one month => \1 one week | \1 one year
(in|for) one year => \1 one week | \1 one month
per day => per week | per year
per month => per day | per hour
per week => per month | per year
per year => per month | per hour
per hour => per month | per minute
per second => per hour | per minute
(\d+ ?)(?:kgs?|kilograms) => \1pounds | \1grams
(\d+ ?)(?:lbs?|pounds) => \1kg | \1tons
(\d+ ?)(?:kms?|kilometers|kilometres) => \1miles | \1metres
(\d+ ?)miles => \1km | \1feet
(\d+ ?)cms? => \1inches | \1mm
(\d+ ?)inch(?:es)? => \1cm | \1feet
(\d+ ?)(?:feet|ft) => \1metres | \1inches
(\d+ ?)(?:meters?|metres?) => \1feet | \1km
(\d+ ?)GB => \1MB | \1TB
(\d+ ?)MB => \1GB | \1KB
(\d+ ?)mbps => \1kbps | \1gbps
(\d+ ?)(?:liters?|litres?) => \1gallons | \1ml
(\d+ ?)ml => \1litres | \1ounces
(\d+) ?(?:°C|degrees celsius) => \1 degrees Fahrenheit
(\d+ ?)mg => \1g
(\d+ ?)watts? => \1kilowatts
kilometers => miles
kilograms => pounds | ounces
liters => gallons | millilitres
celsius => Fahrenheit | Kelvin
fahrenheit => Celsius | Kelvin
(?<=\d )dollars => euros | rupees
(?<=\d )rupees => dollars | pounds
(?<=in |of )(?:US )?dollars => euros | yen
(?<=under )Rs\.? => $ | £
INR(?= \d) => USD | GBP | EUR
INR => USD | GBP
USD => EUR | JPY | INR
(\d+ ?)am => \1pm
(\d+ ?)pm => \1am
in the morning => in the evening | at midnight
in the evening => in the morning
at night => at noon | in the morning
at midnight => at noon
2G => 4G
3G => 4G | 2G
4G => 3G | 5G
3D => 2D
2D => 3D
32[ -]bit => 16 bit
64[ -]bit => 16 bit
WW2|WWII => WW1
WW1|WWI => WW2
World War (?:II|2|two) => World War I
World War (?:I|1|one) => World War II
World War (?:III|3|three) => World War II
(Part|Act|Volume|Chapter) (?:II|2) => \1 3 | \1 1
Type 1 => Type 2
Type 2 => Type 1
teenagers => people in their thirties
in (?:my|your|his|her) (?:20s|twenties) => in your fifties | in your forties
in (?:my|your|his|her) (?:30s|thirties) => in your sixties
single digit => double digit
weekly => monthly | hourly
monthly => weekly | yearly
yearly => monthly
daily => weekly | hourly
"""

NEGATION = r"""
^why do (?!.*\b(?:not|never|no)\b) => why don't
^why does (?!.*\b(?:not|never|no)\b) => why doesn't
^why is (?!.*\b(?:not|never|no)\b) => why isn't
^why are (?!.*\b(?:not|never|no)\b) => why aren't
^why did (?!.*\b(?:not|never|no)\b) => why didn't
^why should (?!.*\b(?:not|never|no)\b) => why shouldn't
^why would (?!.*\b(?:not|never|no)\b) => why wouldn't
^why can (?!.*\b(?:not|never|no)\b) => why can't
^why was (?!.*\b(?:not|never|no)\b) => why wasn't
^why were (?!.*\b(?:not|never|no)\b) => why weren't
^why has (?!.*\b(?:not|never|no)\b) => why hasn't
^why have (?!.*\b(?:not|never|no)\b) => why haven't
^why don[’']t => why do
^why doesn[’']t => why does
^why isn[’']t => why is
^why aren[’']t => why are
^why didn[’']t => why did
^why shouldn[’']t => why should
^why can[’']t => why can
^why won[’']t => why will
^why wasn[’']t => why was
^why hasn[’']t => why has
^why haven[’']t => why have
^should (I|we|you) (?!not) => should \1 not | shouldn't \1
^how (?:do|can) (I|you|we) (?!not|get|know|find) => how do \1 not
^how to (?!not|get|find) => how not to
^what (should|can|could|must) (I|you|we|one) (?!not|be|expect) => what \1 \2 not
(should|must) (I|we|you|one) buy => \1 \2 avoid buying | \1 \2 not buy
(should|must) (I|we|you|one) read => \1 \2 avoid reading | \1 \2 never read
(should|must) (I|we|you|one) eat => \1 \2 avoid eating | \1 \2 never eat
(should|must) (I|we|you|one) visit => \1 \2 avoid visiting | \1 \2 not visit
(should|must) (I|we|you|one) (learn|study|watch|use|wear|choose|join|take)
    => \1 \2 not \3 | \1 \2 never \3
(should|must)(?:n't| not) (I|we|you|one) => \1 \2
(I|you|we|one|people|they|women|men) should(?:n['’]t| not| never) => \1 should
things (you|I|we|everyone) should (?=know|do|try|have|say|learn|avoid) => things \1 should never
(?<=what are the )(books|movies|places|foods|things|songs) (?:that )?(?:I|you|we|one) (?:should|
    must) => \1 you should not
^who can => who cannot
^what can(?:'t|not) (I|we|you) => what can \1
^is it (bad|okay|ok|good|wrong|rude|normal|safe|healthy|weird|common) to => is it \1 not to
^is it possible to => is it impossible to
^is it necessary to => is it unnecessary to
^is it worth (?=\w+ing) => is it worth not
^is it true that => is it false that
(that|who) are (?!not) => \1 are not
(?<=\w )who is (?!not) => who is not
(?<=\w )that is (?!not|it) => that is not
(that|who) have (?!not|been) => \1 don't have
(that|who) can(?!not|'t) => \1 cannot
(that|who) (like|want|use|believe|speak|need|work|know|eat|drink|smoke|live|support|study)
    => \1 don't \2
(that|who) (?:do not|don[’']t) => \1
(that|who) (?:are not|aren[’']t) => \1 are
(that|who) (?:is not|isn[’']t) => \1 is
(that|who|I|you|we|it|one) (?:can[’']t|cannot|can not) => \1 can
if (I|you|we|they) (?:do not|don[’']t) (?!have any|know) => if \1
if (I|you|we|they) (go|use|have|eat|drink|sleep|pay|get|take|tell|delete|block|stop|drop|leave|
    fail|vote|put|give|send|quit|work|join|buy|sell|ask|keep) => if \1 don't \2
if (I|he|she|it|there) (?:was|were) (?!not|a way|no) => if \1 were not
if (he|she|it|someone) is (?!not) => if \1 is not
if (\w+|the \w+) (?:is not|isn't) => if \1 is
I (?:do not|don[’']t) (have|want|like|love|believe|feel|work|use|speak|understand|drink|
    eat) (?!any) => I \1
(?<!can )(?<!should )(?<!do )I have (?=a job|a degree|
    a girlfriend|a car|a credit card|an account|a passport|a visa|
    a license) => I don't have
(?<!deal )(?<!do )(?<!wrong )(?<!along )(?<!come )(?<!start )(?<!happen )(?<!up )(?<!out )
    (?<!cope )(?<!agree )(?<!sex )(?<!relationship )(?<!love )(?<!talk )(?<!problem )(?<!matter )
    (?<!familiar )(?<!live )(?<!with )(?<!replace )with (a|an|my|your|good|high) => without \1
without (a|an|my|your|the|using|having|paying|knowing|losing|going|taking|sugar|money|oil|water)
    => with \1
without any => with a lot of
without (?=experience|exercise|coaching|internet|permission|education|coding) => with
(?<=am |is |be |re )unable to => able to
(?<=are )able to => unable to
(?<=not )able to => unable to
fail to => manage to
fails to => manages to
failed to => managed to
refuse to => agree to
refused to => agreed to
(?<=are )allowed to => forbidden to | not allowed to
(?<=be )allowed to => forbidden to
not allowed to => allowed to
impossible => possible
never (?=been|seen|had|heard|used|met|won|gone|done|tried) => already
(?<=who )never => always
(?<=can )never => always
(?<=will )never => soon
(?<=will )ever => never
have (I|we|you|they) ever => have \1 never
no longer => still
(is|are) still => \1 no longer
still (?=worth|alive|relevant|in use|valid|a virgin) => no longer
^is (.{3,25}) still => is \1 no longer
have no (?=experience|money|friends|degree|idea) => have a lot of
has no => has plenty of
having no => having many
there is no (?!one|such) => there is
with no => with a lot of
is not => is
are not => are
was not => was
does not => does
(?<=\w )(it|he|she) doesn[’']t (work|help|want|like|love) => \1 does \2
(?<!why )(?<!does )(it|he|she|this) is (good|bad|safe|legal|possible|true|normal|necessary)
    => \1 is not \2
avoid (getting|being|using|eating|having|paying|making|doing|going|drinking|taking|losing|
    sleeping|thinking|wasting) => keep \1
(?<!to )stop (\w{3,}ing) => keep \1 | start \1
to stop (\w{3,}ing) => to start \1 | to keep \1
start (\w{3,}ing) => stop \1 | avoid \1
quit (smoking|drinking|weed|porn|coffee|gaming) => start \1
lack of => excess of
including => excluding | except
except => including
other than (?!that) => such as
instead of => as well as
(?<=\w )must (?=be|have|know|do|read|watch|see|learn) => must not
"""

PREFIXED = """
known/unknown healthy/unhealthy happy/unhappy safe/unsafe fair/unfair usual/unusual
married/unmarried ethical/unethical unemployed/employed natural/unnatural paid/unpaid lock/unlock
locked/unlocked install/uninstall block/unblock blocked/unblocked follow/unfollow
connected/disconnected dependent/independent direct/indirect
complete/incomplete visible/invisible correct/incorrect accurate/inaccurate mature/immature
moral/immoral mortal/immortal polite/impolite rational/irrational regular/irregular
relevant/irrelevant responsible/irresponsible reliable/unreliable secure/insecure
sensitive/insensitive stable/unstable successful/unsuccessful sufficient/insufficient
valid/invalid acceptable/unacceptable attractive/unattractive comfortable/uncomfortable
common/uncommon conscious/unconscious educated/uneducated equal/unequal expected/unexpected
limited/unlimited lucky/unlucky necessary/unnecessary official/unofficial popular/unpopular
predictable/unpredictable professional/unprofessional qualified/unqualified
realistic/unrealistic related/unrelated skilled/unskilled wanted/unwanted
religious/non-religious vegetarian/non-vegetarian vegetarians/non-vegetarians
smokers/non-smokers renewable/non-renewable organic/inorganic fiction/non-fiction
technical/non-technical native/non-native useful/useless harmful/harmless painful/painless
meaningful/meaningless hopeful/hopeless careful/careless wireless/wired interesting/uninteresting
important/unimportant logical/illogical legitimate/illegitimate honest/dishonest
loyal/disloyal obey/disobey approve/disapprove trust/distrust subscribe/unsubscribe
agree/disagree appear/disappear appears/disappears activate/deactivate encrypted/unencrypted
finite/infinite definite/indefinite edible/inedible soluble/insoluble compatible/incompatible
perfect/imperfect patient/impatient possible/impossible reversible/irreversible
linear/nonlinear metals/nonmetals muslims/non-muslims engineers/non-engineers
"""

ANTONYM_VERBS = """
buy/sell increase/decrease reduce/increase encrypt/decrypt upload/download hire/fire
import/export borrow/lend send/receive accept/reject add/remove enable/disable attract/repel
admit/deny arrive/depart deposit/withdraw marry/divorce
encourage/discourage forget/remember forgive/punish freeze/melt hide/reveal include/exclude
inhale/exhale lengthen/shorten raise/lower maximize/minimize
merge/split praise/criticize prevent/cause cure/cause promote/demote protect/harm
prove/disprove publish/withdraw pull/push sink/float
succeed/fail support/oppose strengthen/weaken learn/teach upgrade/downgrade widen/narrow
legalize/ban attend/skip approve/reject renew/cancel respect/disrespect hate/love
gain/lose expand/shrink compress/decompress confirm/deny pass/fail
permit/prohibit save/waste spend/save survive/perish tighten/loosen
unlock/lock heat/cool evaporate/condense ascend/descend multiply/divide win/lose
dislike/like ignore/notice improve/worsen earn/spend adopt/abandon celebrate/mourn
"""

ANTONYM_NOUNS = """
advantage/disadvantage benefit/drawback strength/weakness success/failure
friend/enemy hero/villain birth/death beginning/end victory/defeat sunrise/sunset
arrival/departure buyer/seller creditor/debtor leader/follower optimist/pessimist predator/prey
asset/liability profit/loss import/export entrance/exit cathode/anode vowel/consonant
introvert/extrovert winner/loser expert/beginner lender/borrower sender/recipient landlord/tenant
investor/debtor liberal/conservative democrat/republican solution/problem strength/weakness
villain/hero opportunity/risk supporter/opponent believer/sceptic import/export frontend/backend
compliment/insult reward/punishment ally/enemy
"""

ANTONYM_WORDS = """
best/worst good/bad better/worse cheap/expensive cheaper/more_expensive cheapest/most_expensive
easy/difficult easier/harder easiest/hardest fast/slow faster/slower fastest/slowest higher/lower
highest/lowest big/small bigger/smaller biggest/smallest large/small larger/smaller
largest/smallest tall/short taller/shorter tallest/shortest longest/shortest younger/older
oldest/newest youngest/oldest rich/poor richer/poorer richest/poorest strong/weak
stronger/weaker strongest/weakest hot/cold hotter/colder hottest/coldest
safer/more_dangerous safest/most_dangerous dangerous/safe sad/happy smart/stupid
intelligent/stupid beautiful/ugly clean/dirty dry/wet oily/dry fat/thin skinny/fat thick/thin
heavy/light heavier/lighter full-time/part-time late/early earlier/later shallow/deep wide/narrow
bright/dark positive/negative public/private legal/illegal legally/illegally guilty/innocent
passive/active dead/alive major/minor wrong/right true/false fake/real
rural/urban domestic/foreign foreign/domestic internal/external indoor/outdoor online/offline
raw/cooked sweet/sour upper/lower inner/outer odd/even permanent/temporary
optimistic/pessimistic overrated/underrated introverted/extroverted pros/cons
supply/demand debit/credit gross/net hardware/software input/output 
inflation/deflation recession/boom poverty/wealth freedom/slavery heaven/hell war/peace
vertical/horizontal clockwise/anticlockwise concave/convex analog/digital
long-term/short-term wholesale/retail manual/automatic static/dynamic synchronous/asynchronous
theoretical/practical mental/physical solid/liquid natural/artificial
attractive/ugly boring/exciting loud/quiet rude/polite brave/cowardly lazy/hardworking
angry/calm confident/shy overweight/underweight sick/healthy
before/after inside/outside above/below quickly/slowly abroad/domestically
directly/indirectly forward/backward despite/because_of during/after worst/best
strongly/weakly positively/negatively internally/externally gradually/suddenly
voluntary/compulsory mandatory/optional compulsory/optional famous/obscure
modern/traditional simple/complicated complex/simple sharp/blunt tight/loose
smooth/rough guilty/innocent sweet/bitter gay/straight left-handed/right-handed
oral/written acidic/alkaline explicit/implicit objective/subjective maternal/paternal
junior/senior advanced/basic inferior/superior superior/inferior centralized/decentralized
incoming/outgoing ascending/descending uphill/downhill longer/shorter
weirdest/most_ordinary stupidest/smartest smartest/stupidest funniest/saddest
employee/employer employees/employers single/married front/rear employment/unemployment
conductors/insulators males/females deficit/surplus
"""

# Words of the lists above that mean something else beside these neighbours.
ANTONYM_BLOCKS = r"""
best (?:friends?|buy|seller|man)
(?:as|how|so) (?:well|long|good)
goods|no good|good (?:morning|night|at|luck)
heavy metal|light(?:er)? years?
big (?:bang|data|boss|ben)
(?:no|any) longer
higher (?:education|studies|secondary)
public (?:school|relations)|private (?:limited|equity)
minor in|major in|major subject
late (?:19|20|night)
hot (?:dog|spot)
(?:what|anything|something|goes|go|whats|is) wrong
true (?:love|caller)|is it true
real estate
(?:free|open|save) (?:up|source)
(?:bed|bath) rest
short (?:story|stories|film|term|cut)
cold (?:war|call|play|fusion|blooded)
fast food
slow(?:ing|ed|s)? down
(?:star|civil|world|proxy) war
war (?:i|ii|1|2)
stand up
deep (?:learning|web)
passive income
hard disk
(?:day|one|even) before
learn from|learn about|learned lesson
last name
prime minister
easy going|single (?:most|best|thing|player|page|malt|sign|parent|phase|word|day|person|mode)
inside out
credit card|debit card
(?:liquid|solid) (?:state|works)
pass (?:away|through)|pass out
win win
mental (?:ability|health)
wet dream
dirty secret
support system|customer support
fire (?:stick|fox|wall)
digital (?:marketing|ocean|india)
add on|attack on
love (?:story|with|letter|at|life|marriage)
in love|make love|a love
private sector
public (?:sector|place|transport)
spend time|spend my life
hit the gym
friend zone|boy friend|girl friend|facebook friends?|friend requests?
white house
smart ?(?:phones?|tv|watch|contracts?)
basic|advanced (?:math|physics)
end of|in the beginning
major (?:in|problem)
straight (?:up|talk)
right (?:now|to|of)
poor (?:quality|english)
software engineer\w*|software develop\w*|software compan\w*|hardware engineer\w*
foreign (?:policy|exchange|trade)
even (?:if|though|after|when|before|more)
natural (?:language|gas|hair|numbers?)
physical education
exit polls?
"""

ANTONYM_PATTERNS = r"""
lose (weight|fat|belly fat|pounds|muscle|followers|\d+ ?kgs?|\d+ pounds) => gain \1
losing (weight|fat|muscle) => gaining \1
weight loss => weight gain
weight gain => weight loss
hair loss => hair growth
(?:log ?in|sign ?in)(?= to| in) => log out
log ?out => log in
turn on => turn off
turn off => turn on
(?:switch|turn) off => switch on
speed up => slow down
slow down => speed up
(?<=do I )get rid of (?!my|it|this|these) => get
wake up (?=early|in) => go to bed
open (a|an|my) (bank|savings|demat|trading|checking|facebook|new|current) => close \1 \2
(?<=to )(?:start|open) (a|an|my own) (\w+ )?(business|company|blog|restaurant|startup|shop)
    => shut down \1 \2\3
(create|make) an? (account|page|group|folder|channel|backup|website|profile) => delete a \2
delete (my|a|an) (\w+ ?)?(account|page|group|folder|photos|message) => create \1 \2\3
delete(?= my| all| a) => restore
(?:install)(?= \w) => uninstall
(do|does|did|I|you|people|they|girls|guys|men|women|indians|americans) like (?!to be|a \w+\?|
    this) => \1 dislike
(I|you|people|they|girls|men|women|he|she) (?:really )?loves? (?=my|his|her|me|it|you|to|him|
    the) => \1 can't stand
(?<=the )most (?=popular|interesting|important|common|beautiful|dangerous|powerful|difficult|
    efficient|effective|successful|useful|expensive|famous|reliable|intelligent|corrupt|valuable|
    profitable|influential|attractive|embarrassing|accurate|underrated|overrated) => least
(?<=the )least => most
more (?=popular|expensive|important|dangerous|efficient|effective|difficult|likely|powerful|
    attractive|intelligent) => less
less (?=popular|expensive|important|dangerous|efficient|effective|likely|powerful|valuable|
    secure) => more
high (?=salary|pressure|blood|quality|temperature|tax|iq|interest|risk|demand|cholesterol|speed|
    paying|resolution|level|gpa|marks) => low
low (?=salary|pressure|blood|quality|temperature|income|cost|price|gpa|budget|level|marks|iq|self|
    interest) => high
(?<=how )(?:hard|difficult) is it to => easy is it to
(?<=so )hard => easy
hard (?=to|for) => easy
(?<=a )hard(?= \w+ to) => easy
soft skills => hard skills
dark side => bright side
lower (?=lip|back|body|abs|class|belly|half) => upper
long distance => short distance
long (?=hair|trip|run|essay) => short
short (?=hair|trip|essay|answer|guys?|girls?|men|man|people) => tall
old (?=people|man|woman|men|women|person) => young
young (?=people|man|woman|men|women|person|age|adults?|girls?) => old
(?<=an )early => late
left (?=hand|side|arm|eye|foot|leg|ear|chest|wing|brain) => right
right (?=hand|side|arm|eye|foot|leg|ear|chest|wing|brain) => left
right(?= way| time| thing) => wrong
north(?= india| america| korea| indian?| pole|ern) => south
south(?= india| america| korea| indian?| pole|ern) => north
east(?= coast| asia| india|ern) => west
west(?= coast| africa| bengal|ern) => east
full (?=moon|tank|stomach|glass|bottle) => empty
full time => part time
part time => full time
(?<=get )into (?!it|a relationship|trouble) => out of
(?<=get )out of => into
(?<=vote )for => against
(?<=voting )for => against
(?<=argument )for => against
arguments for => arguments against
(?<=in )favou?r of => opposition to
against (?=the|my|a|trump|gay|abortion|gun) => in favour of
near (?!future|death) => far from
(?<=am |is |are )because => although
read (a|the|this|these|my) (book|article|novel|letter|books) => write \1 \2
write (a|the|an|my) (book|article|novel|letter|essay|blog|resume|story|song|review) => read \1 \2
answer (a|the|this|my|questions?) => ask \1
ask (a|the|questions?) => answer \1
break up with => make up with | propose to
fall(?:ing)? in love => fall out of love
(?:go|going) to bed => getting up
fall asleep => stay awake
sit(?= on| in| down) => stand
rise (?=of|in) => fall
(?<=the )fall of => rise of
(?<=to )hide => show
(?<=to )leave => join
(?<=to )join => leave
(?<=I )join => leave
(?:zoom) in => zoom out
bright future => bleak future
top (?=ten|10|5|five|colleges|universities|companies|countries|engineering|law|business|mba)
    => bottom
side effects => benefits
(?<=the )causes? of => effects of
(?<=the )(?:effects?|consequences) of => causes of
(?<=the )benefits of => dangers of
(?<=the )dangers of => benefits of
(?<=the )(?:import) of => export of
love => hate
hates => loves
go up => go down
going up => going down
(?<=to )vacate => occupy
front camera => rear camera
(?<=\w )up to => down to
(?<!not )(?<!why )enough money => too little money
(?:stay|live) alone => stay with others
stay away from => get close to
take off => land
tell the truth => tell a lie
moving to => moving out of
move to => move out of
immigrate to => emigrate from
move from => move to
apply for => withdraw from
grow(?= taller| hair| a beard| faster) => stop growing
put on (weight|makeup) => take off \1
break (?=a|an|the|my) => repair
"""

# Classes of things; an edit puts another member of the class in the place of one. Names with
# capitals are matched as they stand; the rest in lower case, with a plural where marked.
NAMES: Mapping[str, str] = {
    "country": """India,China,Pakistan,Canada,Australia,Russia,Germany,Japan,France,Italy,Spain,
        Brazil,Mexico,Israel,Turkey,Egypt,Singapore,Bangladesh,Nepal,Sri Lanka,Indonesia,Malaysia,
        Thailand,Vietnam,South Africa,Nigeria,Kenya,Ireland,Sweden,Norway,Poland,Iran,Iraq,Syria,
        Saudi Arabia,New Zealand,South Korea,North Korea,Greece,Portugal,Argentina,Ukraine,
        Switzerland,Finland,Denmark,the Netherlands,the Philippines,Taiwan,the US,the USA,the UK,
        the United States,the United Kingdom,USA,UK,America,England,Britain""",
    "nationality": """Indian,Chinese,American,British,Canadian,Australian,Russian,German,Japanese,
        French,Italian,Spanish,Brazilian,Mexican,Israeli,Turkish,Egyptian,Pakistani,Korean,Irish,
        Swedish,Polish,Iranian,Nigerian,African,European,Arab,Greek""",
    "peoples": """Indians,Americans,Germans,Russians,Pakistanis,Canadians,Australians,Mexicans,
        Italians,Brazilians,Nigerians,Europeans,Africans,Asians,Arabs,Koreans,Egyptians,Turks,
        Greeks,Israelis,Iranians""",
    "city": """Delhi,Bangalore,Mumbai,Hyderabad,Chennai,Kolkata,Pune,London,Paris,Sydney,Tokyo,
        Dubai,Toronto,Chicago,Boston,Seattle,San Francisco,New York,New York City,Los Angeles,
        Berlin,Melbourne,Amsterdam,Rome,Moscow,Beijing,Shanghai,Bangkok,Istanbul,Vancouver,
        Houston,Philadelphia,Jaipur,Ahmedabad,Lucknow,Hong Kong,Madrid,Vienna""",
    "state": """California,Texas,Florida,Arizona,Ohio,Oregon,Illinois,Georgia,Alaska,Michigan,
        Virginia,Colorado,Nevada,Utah,New Jersey,Massachusetts,Kerala,Gujarat,Rajasthan,Punjab,
        Bihar,Tamil Nadu,Karnataka,Maharashtra,West Bengal,Uttar Pradesh,Goa,Kashmir""",
    "language": """English,Hindi,Spanish,French,German,Japanese,Arabic,Mandarin,Tamil,Telugu,
        Portuguese,Russian,Italian,Korean,Latin,Sanskrit,Urdu,Bengali,Punjabi,Swedish,Dutch""",
    "programming": """Java,Python,JavaScript,PHP,C++,C#,Ruby,Perl,Scala,Swift,Kotlin,Rust,Haskell,
        MATLAB,TypeScript,SQL,Fortran,Objective-C,Visual Basic,HTML""",
    "platform": """Windows,Linux,Ubuntu,Android,iOS,macOS,Fedora,Debian,FreeBSD,Windows Phone,
        ChromeOS,Tizen,Arch Linux,Red Hat,Raspbian,Kali Linux""",
    "tool": """Photoshop,Excel,MySQL,MongoDB,Oracle,PostgreSQL,WordPress,Drupal,Hadoop,Django,
        Node.js,AngularJS,Docker,Git,Outlook,PowerPoint,QuickBooks,Illustrator,AutoCAD,Eclipse""",
    "company": """Google,Amazon,Microsoft,Apple,IBM,Intel,TCS,Infosys,Wipro,Accenture,
        Cognizant,Tesla,Samsung,Sony,Nvidia,Flipkart,Uber,Ola,Lyft,Walmart,Toyota,Honda,BMW,Ford,
        Deloitte,Goldman Sachs,Airbnb,Adobe,Cisco,Dell,Lenovo,Boeing,SpaceX,PayPal,eBay,Alibaba,
        Verizon,AT&T,Reliance,Airtel,Vodafone,Jio""",
    "site": """Facebook,Instagram,WhatsApp,Snapchat,Twitter,YouTube,LinkedIn,Quora,Reddit,Tinder,
        Pinterest,Tumblr,Gmail,Yahoo,Skype,Netflix,Spotify,Telegram,Wikipedia,Hotmail,Dropbox""",
    "device": """iPhone,iPad,MacBook,Kindle,Xbox,PlayStation,Chromebook,Roku,Chromecast,Fitbit,
        GoPro,Apple Watch,Raspberry Pi,Arduino,Nintendo Switch,Galaxy Tab""",
    "person": """Donald Trump,Hillary Clinton,Barack Obama,Narendra Modi,Bernie Sanders,Bill Gates,
        Elon Musk,Steve Jobs,Mark Zuckerberg,Albert Einstein,Isaac Newton,Mahatma Gandhi,
        Vladimir Putin,Arvind Kejriwal,Rahul Gandhi,Abraham Lincoln,Shah Rukh Khan,Salman Khan,
        Virat Kohli,Sachin Tendulkar,Lionel Messi,Cristiano Ronaldo,Michael Jackson,
        Taylor Swift,Angela Merkel,Nelson Mandela,Winston Churchill,George Washington""",
    "surname": """Trump,Obama,Clinton,Modi,Putin,Hitler,Stalin,Gandhi,Nehru,Einstein,Newton,
        Kejriwal,Sanders,Bush,Reagan,Lincoln,Churchill,Napoleon,Darwin,Tesla,Mozart,Shakespeare""",
    "university": """Harvard,Stanford,MIT,Yale,Princeton,Oxford,Cambridge,Berkeley,Caltech,
        Columbia,Cornell,Georgia Tech,Carnegie Mellon,NYU,UCLA,IIT Bombay,IIT Delhi,IIM Ahmedabad,
        BITS Pilani,McGill,Purdue,ETH Zurich,IISc""",
    "exam": """GRE,GMAT,CAT,GATE,JEE,NEET,IELTS,TOEFL,SAT,ACT,UPSC,LSAT,CLAT,SSC CGL,IBPS PO,
        JEE Mains,JEE Advanced,MCAT,AIIMS,BITSAT""",
    "degree": """MBA,PhD,MS,MBBS,BCA,MCA,BBA,LLB,B.Tech,M.Tech,BA,B.Com,CFA,CPA,BSc,MSc""",
    "month": """January,February,March,April,June,July,August,September,October,November,
        December""",
    "weekday": "Monday,Tuesday,Wednesday,Thursday,Friday,Saturday,Sunday",
    "religion": """Islam,Christianity,Hinduism,Buddhism,Judaism,Sikhism,Jainism,Catholicism,
        Protestantism,Taoism,Zoroastrianism,Mormonism,Scientology,Shinto,Paganism""",
    "believers": """Muslims,Christians,Hindus,Jews,Sikhs,Buddhists,Catholics,Mormons,Jains,
        Protestants,Quakers,Baptists,Evangelicals,Parsis,Atheists""",
    "festival": """Christmas,Diwali,Holi,Easter,Halloween,Thanksgiving,Eid,Ramadan,Hanukkah,
        Valentine's Day,Independence Day,Mother's Day,Good Friday,Oktoberfest,Navratri""",
    "planet": """Mars,Venus,Jupiter,Saturn,Mercury,Neptune,Uranus,Pluto,Titan,Europa,Ceres,
        Ganymede,Callisto,Io,Triton""",
    "show": """Game of Thrones,Star Wars,The Big Bang Theory,Breaking Bad,Friends,
        Sherlock,Naruto,Lord of the Rings,House of Cards,Star Trek,Doctor Who,The Walking Dead,
        Westworld,Suits,Stranger Things,Inception,Interstellar,The Matrix,Titanic""",
    "hero": """Batman,Superman,Iron Man,Spider-Man,Thor,Hulk,Captain America,Wolverine,Deadpool,
        Flash,Aquaman,Wonder Woman,Voldemort,Dumbledore,Snape,Hermione,Yoda,Darth Vader""",
}  # fmt: skip
NOUNS: Mapping[str, str] = {
    "sport": """football,cricket,tennis,basketball,baseball,hockey,rugby,golf,boxing,swimming,
        badminton,volleyball,chess,wrestling,skiing,surfing,yoga,cycling""",
    "animal": """dog*,cat*,horse*,cow*,elephant*,tiger*,lion*,snake*,shark*,rabbit*,monkey*,
        bird*,pig*,whale*,dolphin*,bear*,wolf,spider*,penguin*,squirrel*,rat*,parrot*""",
    "food": """chicken,rice,pizza,bread,cheese,chocolate,honey,butter,beef,pork,pasta,salad,soup,
        fish,mutton,tofu,yoghurt,oatmeal,popcorn""",
    "produce": """apple*,banana*,orange*,mango*,grape*,lemon*,potato,tomato,carrot*,onion*,
        mushroom*,strawberry,cucumber*,pineapple*,avocado*,walnut*,almond*,egg*""",
    "drink": """coffee,green tea,tea,beer,wine,whisky,vodka,milk,water,juice,lemonade,rum,gin,
        cola,cocoa,champagne""",
    "relative": """mother,father,sister,brother,wife,husband,son,daughter,uncle,aunt,cousin,
        girlfriend,boyfriend,grandmother,grandfather,dad,mom""",
    "profession": """doctor*,lawyer*,engineer*,nurse*,pilot*,dentist*,accountant*,actor*,chef*,
        architect*,journalist*,plumber*,scientist*,politician*,programmer*,soldier*,
        civil engineer*,mechanical engineer*,software engineer*,software developer*,electrician*,
        web developer*,data scientist*,singer*,dancer*""",
    "body": """knee,shoulder,stomach,chest,neck,skin,ear,nose,elbow,ankle,wrist,throat,liver,
        kidney,heart,brain,hair,tongue,thumb,jaw,spine,scalp,hip,belly""",
    "subject": """physics,chemistry,biology,mathematics,maths,history,geography,economics,
        psychology,philosophy,sociology,accounting,statistics,astronomy,law,medicine,botany,
        computer science,electrical engineering,mechanical engineering,civil engineering,
        chemical engineering,aerospace engineering""",
    "colour": """red,blue,green,yellow,purple,pink,brown,violet,turquoise,grey,crimson,beige,
        maroon,indigo,teal""",
    "instrument": """guitar,piano,violin,flute,drums,saxophone,trumpet,cello,harmonica,ukulele,
        clarinet,banjo,accordion,tabla,sitar""",
    "illness": """cancer,diabetes,depression,asthma,malaria,pneumonia,anxiety,migraine,acne,
        arthritis,epilepsy,tuberculosis,dengue,hypertension,insomnia,autism,bipolar disorder""",
    "element": """hydrogen,oxygen,carbon,nitrogen,helium,iron,sodium,calcium,gold,silver,copper,
        zinc,magnesium,chlorine,sulphur,uranium,potassium,aluminium""",
    "vehicle": """car*,bike*,truck*,motorcycle*,bus,train*,scooter*,boat*,ship*,airplane*,
        helicopter*,bicycle*,submarine*,tractor*,rocket*""",
    "furniture": """table*,chair*,bed*,sofa*,desk*,carpet*,mattress,curtain*,fridge*,
        washing machine*,microwave*,oven*,air conditioner*,heater*,lamp*""",
    "gadget": """laptop*,smartphone*,headphone*,camera*,printer*,earphone*,tablet*,monitor*,
        keyboard*,speaker*,router*,projector*,drone*,television*,webcam*,graphics card*""",
    "clothing": """shoe*,shirt*,jacket*,saree*,suit*,hat*,sock*,glove*,skirt*,sweater*,scarf,
        belt*,boot*,tie*,coat*,dress,wig*,helmet*""",
    "room": """kitchen,bedroom,bathroom,garage,garden,basement,attic,balcony,living room,
        hallway,cellar,dining room,warehouse""",
    "work": """book*,movie*,song*,novel*,poem*,painting*,podcast*,documentary,video game*,
        board game*,anime,comic*,blog*,magazine*,newspaper*,cartoon*""",
    "business": """restaurant*,hotel*,bakery,gym*,bookshop*,pharmacy,hospital*,school*,bank*,
        airline*,travel agency,law firm*,brewery,supermarket*,casino*""",
    "plant": """rose*,tulip*,oak*,bamboo,cactus,wheat,maize,barley,cotton,sunflower*,fern*,
        moss,pine*,lavender,basil""",
}  # fmt: skip

TRANSITIVE = """
hate love like dislike support attack invade defeat beat follow trust kill marry leave fear need
influence affect cause attract help respect ignore understand betray replace block hurt watch
blame want miss text call know treat cheat_on break_up_with fall_in_love_with care_about ask
see think_about control judge forgive hire pay tell admire envy kiss hug convince impress stop
"""

QUANTIFIER = r"""
(do|are|can|did|will|should|have|is) all (?!the|of|right) => \1 some | \1 no
(?<=of )all (?=the|of|these) => some of
all (the|these|those|my|your|our) (?=\w) => some of \1 | none of \1
all (?=people|muslims|women|men|countries|students|indians|states|religions|humans|animals|
    companies|questions|girls|guys) => some | no
(do|can|did) some => \1 all
some (?=people|men|women|muslims|countries|girls|guys|indians|americans) => all | no | most
so many (?=\w) => so few
too many => too few
too much => too little
many (?=people|indians|americans|women|men|students|countries) => few | no
most (?=people|men|women|indians|americans|countries|of the) => few | hardly any
most of => none of | very little of
few (?=people|women|men|students) => many
a few => a great many | no
a lot of => very little | hardly any
lots of => hardly any
several => no | all
every (?!day|time|now|morning|year|week|month|night) => no | almost no
every (day|night|morning) => once a month | every other year
every (week|month|year) => every other \1 | every hour
everyone => no one | someone
everybody => nobody
everything => nothing
nothing => everything
nobody|no one => everybody | someone
someone => everyone | no one
anyone (?=who|can|here) => everyone
at least => at most
at most => at least
atleast => at most
more than (?=\d|one|two|a|half|three) => less than | exactly
less than (?=\d|one|two|a|half) => more than
over (?=\d+|\$|rs) => under
under (?=\d+|\$|rs|inr) => over | exactly
below (?=\d|rs|\$|inr) => above
above (?=\d|rs|\$) => below
up to (?=\d) => at least
always => never | sometimes | rarely
sometimes => always | never
often => rarely | never
usually => rarely
frequently => rarely
rarely (?!ever) => often
never => always | often
minimum => maximum
maximum => minimum
max(?= \w) => min
average => maximum | minimum | median
first (?=time|day|name|person|date|thing|woman|man|president|impression|job|love|book|movie|
    season|child|step|world|language|step|week|kiss|one) => last | second
last (?=name|thing|person|book|movie|episode|season|one|digit|word|stage|chapter|day of) => first
is the only => is one of the
am I the only one => am I one of many
(?<=\w )only (?=one|a|the|for|in|by|with|two|when|if|be|people|men|women|to|on|after|have|has)
    => not only
both (\w+) and => neither \1 nor
both (?=\w) => neither of
nearly all|almost all => hardly any
completely => partially
fully => partially
entirely => partly
permanently => temporarily | briefly
mostly => never | only rarely
partially => completely
majority => minority
minority => majority
exactly(?= \d) => at least
the whole => half of the
entire => half the
enough (?=money|time|sleep|water|protein|food|exercise|evidence) => too little
hardly => almost always
once a (week|month|day|year) => several times a \1
any (?=of the|of my) => all
(?<=is )there any => there only one
a single => more than one
as much as => less than
as many => fewer
the rest of => half of
as (soon|late) as => much later than
all time => this year
"""

TIME = r"""
yesterday => last year | last month
^(\w+) is (.{4,60}) (?:today|now|nowadays|right now|these days|currently|at present)(?=\?)
    => \1 was \2 a hundred years ago | \1 was \2 ten years ago
^(\w+) are (.{4,60}) (?:today|now|nowadays|right now|these days|currently|at present)(?=\?)
    => \1 were \2 a hundred years ago | \1 were \2 in the 1950s
^(\w+) (?:do|does) (.{4,60}) (?:today|now|nowadays|these days)(?=\?)
    => \1 did \2 in the 1950s | \1 did \2 a century ago
tomorrow(?=\?) => next month | next year
tonight => tomorrow night | last night
last (week|month|year|decade|century|election|season|summer) => next \1
last night => last month | last Christmas
last (\d+|few|two|five|ten) (years|months|days|weeks|decades) => next \1 \2
next (\d+|few|two|five|ten) (years|months|days|weeks|decades) => last \1 \2
next (week|month|year|decade|century|election|season|summer) => last \1
next (?=president|prime|version|episode|generation|step|war|big|ceo|pm) => previous | last
the future of => the history of
(?<=the )future(?! of) => past
future (?=of|plans|scope|prospects) => past
in (?:the )?future => in the past
in the past => in the future
past (?=life|lives|year|years|few|decade|month) => coming
current (?=president|status|situation|population|state|price|market|government|affairs|trends|ceo|
    prime|job|value|version) => previous | former
previous (?=year|president|version|job|life|films?|papers?) => next
^when will => when did
^when did => when will
^how will (?!.* (?:be|if|is|are)\b) => how did
^how did (?!you|the name|we) => how will
^why did (?!.*be|you) => why will
^what did (?!you|it feel) => what will
^who did => who will
^will (?!.* be |.*ever) => did
^did (?!you|.*ever) => will
^what will (?!be|happen|.* if) => what did
^what will be => what was
^what was => what will be
^who was => who will be | who is
^who is the (?=president|prime|ceo|king|queen|richest|best|founder|current|leader|governor|
    captain|head|owner|first|most) => who was the | who will be the
^who are the (?=best|richest|most|top|members) => who were the | who will be the
^where was => where will
^what happened (?!if|when) => what will happen
^what will happen (?!.*(?:if|when|now)) => what happened
^what would happen if => what happened when
^what is happening => what happened | what will happen
has (\w+) become => will \1 become
modern => ancient | medieval
ancient => modern
medieval => modern | ancient
recent => upcoming
upcoming => most recent
this year => next year
this (month|week|summer|season|semester) => next \1
(\d\d)th century => 3rd century
21st century => 19th century | 15th century
20th century => 18th century | 21st century
19th century => 12th century | 21st century
winter => summer
summer => winter
spring(?= season| break| semester) => autumn
fall (?=semester|season) => spring
(?:new) (?=year|government|president|version|rule|rules|law|laws|policy|ceo|iphone|macbook|
    notes) => old
old (?=version|government|notes|law|system|phone) => new
before (christ|independence|the war|christmas|marriage|2000) => after \1
after (independence|the war|christmas|marriage|demonetization|death|graduation|birth) => before \1
before (graduation|birth|bed|sleeping|breakfast|dinner|lunch|exams?) => after \1
in the long run => in the short run
every morning => every evening
early morning => late evening
(?:in the )?early (\d{4}s) => in the late \1
was born => will die
has been => will be
have been => will be
would have been => will be
"""

PERSON = r"""
my wife => my boss | my mother | my teenage son
my husband => my boss | my father | my landlord
my boss => my wife | my assistant | my best friend
my (?:girlfriend|gf) => my mother | my boss | my sister | my ex-wife
my (?:boyfriend|bf) => my father | my boss | my brother
my (?:mother|mom|mum) => my girlfriend | my boss | my daughter
my (?:father|dad) => my son | my boss | my boyfriend
my parents => my neighbours | my children | my employees
my (?:son|brother) => my husband | my grandfather | my employer
my (?:daughter|sister) => my wife | my grandmother | my employer
my friends => my parents | my rivals
my (?:best )?friend => my father | my boss | my rival
my ex => my daughter | my boss
my crush => my boss | my grandmother
my teacher => my student | my neighbour
my (?:kids|children) => my parents | my employees
men => women | children
women => men | boys
(?<!old )boys => girls | grown men
girls => boys | old men
(?<=a )guy => girl | child
guys => girls
(?<=a |the )girl => guy | grandfather
(?<=a )woman => man | child
(?<=a )man(?! made) => woman | baby
male => female
female => male
ladies => gentlemen
children => adults | elderly people
kids => adults | elderly people
adults => children | toddlers
adult => child
child => adult
bab(?:y|ies) => grown-ups
teenagers => pensioners | toddlers
teenager => pensioner | toddler
teenage => middle-aged
parents => grandparents
students => teachers | pensioners
student => teacher | pensioner
teachers => students
teacher => student
beginners => experts
beginner => professional
employee => employer | contractor
employees => managers | shareholders
doctors => patients
patients => doctors
tourists => residents
foreigners => citizens
immigrants => citizens
citizens => foreigners | tourists
citizen => tourist
buyer => seller
tenant => landlord
customers => employees
fresher => senior manager
freshers => retired people
introverts => extroverts
couples => families
civilians => soldiers
bachelor => married man
boy => girl
(?<=for )Indians => Americans | Canadians
(?<=for )(?:a )?beginners? => experts
(?<=for )(?:a )?students? => retired people
(?<=for )(?:an )?Indian(?=\?| in) => an American
(?<=^can )I (?=be|get|sue|claim|take|use|apply|keep|change|withdraw|travel|work|enter)
    => my employer | my landlord | a child
(?<=^can )a (?:girl|woman) => a man
(?<=^can )a (?:boy|man|guy) => a woman
(?<=^should )I (?!go with|do) => my boss | my daughter
^how (?:can|do|should) I (?=stop|learn|study|lose|quit|exercise|overcome|focus|concentrate|read|
    forgive|eat|wake|become|stay|control)(?!.*\b(?:my|me|I|myself)\b)
    => how do I get my teenager to | how can I help my grandfather to
^why (?:do|am) I (?=feel|have|always|get|need)(?!.*\b(?:my|me|I)\b) => why do dogs
delete my => delete my dead father's
(recover|reset|hack|unlock|check|track|change|find|see|access|activate|verify) my
    => \1 my husband's | \1 my employee's | \1 someone else's
your (?=age|life|favorite|favourite|opinion|dream|biggest|worst|best|parents|experience|religion|
    country) => your mother's | Barack Obama's | a soldier's
(?<=\w )he (?=is|was|has|likes|loves|wants|will|can|does) => she
(?<=\w )she (?=is|was|has|likes|loves|wants|will|can|does) => he
(?<=does )he => she
(?<=does )she => he
he likes me => my boss likes me
(?<=like |love |loves |likes |hates |hate |ignores )me => my brother | my boss
(?<=about )me => my brother | my boss
(?<=to )me => my brother
(?<=told )me => my wife
human => dog
humans => insects | dolphins
people with => children with
(?<=why do )people => politicians | teenagers
(?<=why do )(?:some )?people => soldiers | celebrities
husband => wife
husbands => wives
wife => husband
actress => actor
actors => actresses
queen => king
king => queen
prince => princess
mothers => fathers
fathers => mothers
sons => daughters
brothers => sisters
father => mother
mother => father
girlfriend => boyfriend
boyfriend => girlfriend
stepmother => stepfather
widow => widower
single (?:mother|mom) => single father
engineers => lawyers
lawyer => judge
judge => defendant
voters => politicians
athletes => office workers
pregnant women => newborn babies
millionaire => beggar
"""

WH = r"""
^how do (?=people|they|birds|you know|scientists|companies|banks|airplanes|plants|animals|we)
    => why do | when do
^how does (?!one|it feel|a person|.*(?:sound|feel|look|differ|compare|go)\b) => why does
^how did => why did | when did
^how (is|are) (?=the|a|this|these|water|it)(?!.*(?:doing|different|going|like|work)) => why \1
^how (?:do|can) (?:I|you|we|one) (?!know|tell|find|make sure)
    => why should I | when should I | who can
^how (?:do|can) (?:I|you) (buy|get|learn|apply|meet|start|invest|download|sell|open|find|watch|
    study) => where can I \1
^how (?:do|can) I (?=buy|get|start|apply|invest|sell|learn|join|become|use|delete|change|
    install) => should I
^how should => when should | why should
^how to (?!not) => whether to | when to | why
^why does => how does | when does
^why do => how do | when do | where do
^why did (?!.*(?:not|never)) => how did | when did | where did
^why (is|are) (?=.{12,}) => since when \1
^why should => when should | where should | how should
^when (will|did|was|is|does|do) => where \1 | why \1 | how \1
^when should => where should | why should
^where (can|should) (I|we|you) (?!find|get) => when \1 \2
^where can I (?=buy|get|watch|download|learn|study|sell) => why should I | when can I
^where (was|did|does) => when \1 | why \1
^where is => how big is | how old is
^who (is|was) (?=the) => where \1 | how old \1
^who (is|was) (?=[A-Z]) => where \1 | how old \1
^what is (?=[A-Z]\w+\?) => where is | who is
^who (invented|discovered|created|founded|built|killed) (.{3,40})(?=\?)
    => when was \2 \1 | where was \2 \1 | why was \2 \1
^who wrote (.{3,40})(?=\?) => when was \1 written | why was \1 written
^who owns (.{3,40})(?=\?) => how much is \1 worth | where is \1
^how much (money )?(does|do|did) (?!it take|it cost|.*(?:cost|weigh|earn|make|hold|pay)\b)
    => how often \2 | why \2
^how many => which | whose
^how long (does|do|will|did|should|can) => how often \1 | why \1 | where \1
^how long does it take (?=to|for) => how much does it cost | how much energy does it take
^how much does it cost (?=to) => how long does it take
^how (?:tall|old) is => how rich is | how heavy is
^how old => how tall
^how tall => how old
^how far => how high
^how big => how old
^how (?:fast|quickly) => how far | how safely
^how often => how early | how long
^how (?:safe|good|accurate|effective|reliable) is => how expensive is | how old is
^how important => how expensive | how common
^what(?: is|'s|s) the best way to
    => what is the best time to | what is the best place to | what is the best reason to
^what(?: are|'re) the best ways? to => what are the best places to | what are the best reasons to
^what(?: is|'s) the easiest way to => what is the best time to | what is the best reason to
^what(?: is|'s) the best time to => what is the best way to | what is the best place to
^what(?: is|'s) the best place (?:to|for) => what is the best time to
^what are (?:some|the) ways to => what are the reasons to | what are the risks when you
^what are some tips => what are some excuses
^what(?: is|'s) the (?:reason|reasons) (?:behind|for|of|why) => what is the cost of
^what(?: is|'s) the (?:meaning|definition) of => what is the history of | what is the opposite of
^what(?: is|'s) the (?:purpose|use) of => what is the price of | what is the origin of
^what(?: is|'s) the (?:cost|price) of => what is the purpose of
^what(?: is|'s) the history of => what is the price of | what is the future of
^what(?: is|'s) the (?:process|procedure) (?:of|for|to)
    => what is the cost of | what is the legal basis for
^what(?: is|'s) the difference between => what is the link between | what do people like about both
^what(?: is|'s) the name of (?=this|the) => what is the story behind
^what(?: is|'s) the population of => what is the area of | what is the capital of
^what(?: is|'s) the capital of => what is the population of
^what(?: is|'s) the salary of => what are the duties of | what is the training of
^what are the (?:requirements|qualifications|eligibility) for => what are the costs of
^what are the (?:symptoms|signs) of => what are the treatments for | what are the causes of
^what causes => what prevents | what cures
^what happens (?:if|when) => how likely is it that | why is it that
^what does it feel like to => what does it cost to | why would anyone want to
^what(?: is|'s) it like to => what does it cost to | who is allowed to
^what kind of => how many
^what types? of => how many kinds of
^what (?=books|movies|foods|countries|companies|universities|languages|jobs|skills|songs)
    => how many | whose
^which (?=books|movies|foods|countries|companies|universities|languages|jobs|skills|songs|
    cities) => how many | whose
^which (?:company|book|country|movie|university|college|bank|phone|laptop|language) (?=is|has|
    was) => who says which one
^which countr(?:y|ies) => which city | which company
^what time => what day | what year
^what year => what country
^does (?=\w+ \w+) => why does | since when does
^do (?=people|girls|women|men|guys|we|they|dogs) => why do | how often do
^is (?!it|there|.* is\b|.* or\b) => why is | since when is
^are (?!there|you|.* or\b) => why are | since when are
^should (I|we) (?!.* or ) => when should \1 | why should \1
^can (I|you|we) (?=.{8,}) => where can \1 | why can \1 | when can \1
^is it possible to => why is it possible to | who is it that managed to
^is there (?:any|a) way to => who knows how to
^is it (safe|legal|good|bad|normal|okay|wrong|healthy) to
    => why is it \1 to | where is it \1 to | since when is it \1 to
^will => why will | when will
^did => why did | when did
^has (?!.*(?:ever|anyone|any)) => why has
"""

HARMLESS = r"""
^what is => what's
^what's => what is
^who is => who's
^who's => who is
^where is => where's
^how is => how's
^why is => why's
(?<=\w )do not => don't
(?<=\w )(?<!why )don[’']t => do not
(?<=\w )does not => doesn't
(?<=\w )(?<!why )can[’']t => cannot
cannot => can't
(?<=\w )is not => isn't
(?<=\w )are not => aren't
I am => I'm
I'm => I am
I have been => I've been
it is => it's
you are => you're
they are => they're
(?<=\w )(?<!why )won[’']t => will not
would like to => want to
want to => wish to
^how can I => how do I | how could I
^how do I => how can I | how should I | what's the way for me to
^how do you => how does one
^how does one => how do you
^how to => how do I | how can I
^what are some => what are
^what are the best ways to => what are the best methods to
^what is the best way to => what's the best method to | what's the ideal way to
^which is => what is
^is it possible to => can one
^where can I => where could I
^why do => for what reason do | why exactly do
^can I => could I | may I | am I able to
(?<=\w )big => large
(?<=\w )large => big
begin => start
beginning => starting
buy => purchase
purchase => buy
(?<=\w )quickly => fast
intelligent => smart
children => kids
kids => children
mobile phone => cell phone
cell phone => mobile phone
movies => films
movie => film
film => movie
photos => pictures
pictures => photos
cheap => inexpensive
difficult => hard
colour => color
favourite => favorite
favorite => favourite
color => colour
center => centre
organization => organisation
advantages and disadvantages => pros and cons
pros and cons => advantages and disadvantages
TV => television
USA => US
United States => US
PC => computer
info => information
information => info
maths => mathematics
math => mathematics
thanks? => thank you
approximately => roughly | about
(?:mom) => mum
mother => mom
father => dad
repair => fix
fix => repair
reasons? for => reasons behind
obtain => get
because => since
nowadays => these days
and => &
percent => %
whether => if
besides => in addition to
in order to => to
assist => help
permitted => allowed
huge => enormous
happens => occurs
choose => pick
select => choose
sometimes => at times
frequently => often
some of the => the
a lot of => lots of
tell me => let me know
good for => suitable for
examples of => instances of
"""
OPENERS = (
    "Can you tell me: {lower}",
    "Please tell me, {lower}",
    "Hi, {lower}",
    "Hello! {same}",
    "Quick question: {lower}",
    "I was wondering, {lower}",
    "{bare}, please?",
    "Just curious: {lower}",
    "{same} Thanks!",
    "{same} Thank you in advance.",
    "Does anyone know: {lower}",
    "Please help. {same}",
)  # fmt: skip

IRREGULAR = {
    "buy": ("bought", "bought"),
    "sell": ("sold", "sold"),
    "lend": ("lent", "lent"),
    "send": ("sent", "sent"),
    "forget": ("forgot", "forgotten"),
    "freeze": ("froze", "frozen"),
    "hide": ("hid", "hidden"),
    "withdraw": ("withdrew", "withdrawn"),
    "split": ("split", "split"),
    "sink": ("sank", "sunk"),
    "teach": ("taught", "taught"),
    "lose": ("lost", "lost"),
    "win": ("won", "won"),
    "spend": ("spent", "spent"),
    "shrink": ("shrank", "shrunk"),
    "prove": ("proved", "proven"),
    "disprove": ("disproved", "disproven"),
}
DOUBLED = {"admit", "ban", "forget", "permit", "skip", "split", "win"}
AUXILIARIES = _set("have has had be been being is are was were get got gets having")
EN_AN = re.compile(r"(?i)(?:[aeio]|u(?!ni|se|s\b|k\b)|hour|honest|MB|MS|MIT|MC|SSC|NEET|LL|LS|FBI)")
# Verbs after "to", which do not open a noun phrase.
VERBS_AFTER_TO = _set(
    """
    be get buy make do have go take see find learn become use work start keep know watch read
    study help live join improve give show sell add move play pay prepare earn solve create win
    lose run travel apply build change convert reach send open choose follow visit watch"""
)


def edits(texts: Sequence[str], seed: int) -> list[Edit]:
    """Edits of some of the texts, each of which changes the right answer."""
    usable = _usable(texts)
    chosen: list[Edit] = []
    for kind, rules in _kinds(usable).items():
        chosen += _draw(kind, rules, usable, random.Random(f"{seed} {kind}"))
    return chosen


def harmless(texts: Sequence[str], seed: int) -> list[Edit]:
    """Edits of some of the texts after which the old answer is still the right one."""
    rules = [*_table(HARMLESS), _opened, _respelled, _without_article, _case_or_mark]
    return _draw("harmless", rules, _usable(texts), random.Random(f"{seed} harmless"))


def _usable(texts: Sequence[str]) -> list[str]:
    """Distinct questions of ordinary length and plain writing, in a fixed order."""
    plain = (" ".join(text.split()) for text in texts)
    return sorted(
        {
            text
            for text in plain
            if SHORTEST <= len(text) <= LONGEST
            and text.endswith("?")
            and '""' not in text
            and "[" not in text
            and "\\" not in text
        }
    )


def _kinds(texts: Sequence[str]) -> dict[str, list[Rule]]:
    return {
        "number": [_digits, *_table(NUMBER)],
        "negation": [*_table(NEGATION), _words(_pairs(PREFIXED))],
        "antonym": [
            *_table(ANTONYM_PATTERNS),
            _words(_antonyms(), "|".join(ANTONYM_BLOCKS.strip().splitlines())),
        ],
        "entity": [_entities, _same_frame(texts)],
        "order": [_exchanged],
        "quantifier": _table(QUANTIFIER),
        "time": _table(TIME),
        "person": _table(PERSON),
        "wh": _table(WH),
    }


def _draw(kind: str, rules: Iterable[Rule], texts: Sequence[str], rng: random.Random) -> list[Edit]:
    """Up to `CAP` edits, drawn in turn from the buckets, each text edited at most once.

    Within a bucket the edits come first whose neighbouring words are neighbours elsewhere too.
    """
    seen = {pair for text in texts for pair in _neighbours(text)}
    shuffled = list(texts)
    rng.shuffle(shuffled)
    buckets: defaultdict[str, list[Candidate]] = defaultdict(list)
    for rule in rules:
        for text in shuffled:
            for bucket, edited in rule(text, rng):
                if len(buckets[bucket]) < PER_BUCKET and _sound(kind, text, edited):
                    strange = sum(pair not in seen for pair in _neighbours(edited))
                    strange -= sum(pair not in seen for pair in _neighbours(text))
                    buckets[bucket].append(Candidate(strange, text, edited))
    queues = [
        sorted(buckets[name], key=lambda candidate: -candidate.strange) for name in sorted(buckets)
    ]
    rng.shuffle(queues)
    chosen: dict[str, Edit] = {}
    while len(chosen) < CAP and any(queues):
        for queue in queues:
            while queue and len(chosen) < CAP:
                candidate = queue.pop()
                if candidate.original not in chosen:
                    edit = Edit(kind, candidate.original, candidate.edited)
                    chosen[candidate.original] = edit
                    break
    return list(chosen.values())


def _sound(kind: str, text: str, edited: str) -> bool:
    """Whether an edit is one: of more than punctuation, and no clash of words it brought in."""
    if kind == "harmless":
        return edited != text
    clash = INCONGRUOUS.search(edited) and not INCONGRUOUS.search(text)
    return not clash and _plain(edited) != _plain(text)


def _neighbours(text: str) -> list[tuple[str, str]]:
    words = ["", *re.findall(r"[\w'’]+|[?.,]", re.sub(r"\d", "0", text.lower()))]
    return list(pairwise(words))


def _plain(text: str) -> str:
    """The words alone, for telling apart texts that differ by more than punctuation."""
    return " ".join(re.findall(r"[\w+#%$€£]+", text.lower()))


# Substitution


def _table(lines: str) -> list[Rule]:
    """One rule for each line of a table of substitutions; indented lines continue the last."""
    spaced = re.sub(r"(?<= \|)\n +|\n +(?==>)", " ", lines)
    whole = re.sub(r"\n +", "", spaced).strip()
    return [_substitution(*line.split(" => ")) for line in whole.splitlines()]


def _substitution(pattern: str, replacements: str) -> Rule:
    fixed_width = re.sub(r"\(\?<=([^()]+\|[^()]+)\)", _each_behind, pattern)
    compiled = re.compile(rf"(?<![\w'’-])(?:{fixed_width})(?:(?<= )|(?![\w'’-]))", re.IGNORECASE)
    options = replacements.split(" | ")

    def rule(text: str, rng: random.Random) -> Iterator[tuple[str, str]]:
        match = compiled.search(text)
        if not match or compiled.search(text, match.end()):
            return
        title = match.start() > 0 and re.match(r"[A-Z][a-z]", match[0]) and pattern.islower()
        if not title:
            yield pattern, _put(text, match.span(), match.expand(rng.choice(options)))

    return rule


def _each_behind(match: re.Match[str]) -> str:
    """A look-behind over alternatives of several widths as one look-behind for each."""
    return f"(?:{'|'.join(f'(?<={one})' for one in match[1].split('|'))})"


def _put(text: str, span: tuple[int, int], new: str) -> str:
    """The text with another word at the span, in its case and behind the right article."""
    start, end = span
    old, before, after = text[start:end], text[:start], text[end:]
    if old.endswith(" ") and not new.endswith(" "):
        new += " "
    if start == 0 or (
        old[:1].isupper() and new.replace(" I ", " ").islower() and not re.match(r"I\b", old)
    ):
        new = new[:1].upper() + new[1:]
    article = re.search(r"\b([Aa])n? $", before)
    if article:
        letter = article[1] + ("n" if EN_AN.match(new) else "")
        before = f"{before[: article.start()]}{letter} "
    return before + new + after


def _pairs(lines: str) -> dict[str, str]:
    """Both directions of "left/right" pairs; the first pair with a word decides."""
    result: dict[str, str] = {}
    for left, right in _split_pairs(lines):
        result.setdefault(left, right)
        result.setdefault(right, left)
    return result


def _split_pairs(lines: str) -> list[tuple[str, str]]:
    halves = (pair.replace("_", " ").split("/") for pair in lines.split())
    return [(left, right) for left, right in halves]


def _words(opposites: Mapping[str, str], blocks: str | None = None) -> Rule:
    """Put the opposite in the place of one word, where no blocked phrase stands."""
    phrases = sorted(opposites, key=len, reverse=True)
    find = re.compile(
        rf"(?<![\w'’-])(?:{'|'.join(map(re.escape, phrases))})(?![\w'’-])", re.IGNORECASE
    )
    blocked = re.compile(rf"(?<!\w)(?:{blocks})(?!\w)", re.IGNORECASE) if blocks else None

    def rule(text: str, rng: random.Random) -> Iterator[tuple[str, str]]:
        taken = [match.span() for match in blocked.finditer(text)] if blocked else []
        found = [match for match in find.finditer(text) if not match[0][1:].isupper()]
        for match in found:
            word = match[0].lower()
            new = opposites[word]
            clash = any(start < match.end() and match.start() < end for start, end in taken)
            twice = sum(other[0].lower() == word for other in found) > 1
            name = match.start() > 0 and match[0][:1].isupper()
            if clash or twice or name or re.search(rf"\b{re.escape(new)}\b", text, re.IGNORECASE):
                continue
            before = text[: match.start()].split()
            if "/" in new:
                past, participle = new.split("/")
                new = participle if before and before[-1].lower() in AUXILIARIES else past
            yield word, _put(text, match.span(), new)

    return rule


def _antonyms() -> dict[str, str]:
    """Every form of every pair of opposites; two forms of a past are joined by a slash."""
    result = _pairs(ANTONYM_WORDS)
    for left, right in _split_pairs(ANTONYM_VERBS):
        for one, other in ((left, right), (right, left)):
            for form, opposite in _conjugated(one, other):
                result.setdefault(form, opposite)
    for left, right in _split_pairs(ANTONYM_NOUNS):
        for one, other in ((left, right), (right, left)):
            result.setdefault(one, other)
            result.setdefault(_plural(one), _plural(other))
    return result


def _conjugated(one: str, other: str) -> Iterator[tuple[str, str]]:
    ours, theirs = _forms(one), _forms(other)
    yield from zip(ours[:3], theirs[:3], strict=True)
    if ours[3] == ours[4] and theirs[3] != theirs[4]:
        yield ours[3], f"{theirs[3]}/{theirs[4]}"
    else:
        yield ours[3], theirs[3]
        yield ours[4], theirs[4]


def _forms(verb: str) -> tuple[str, str, str, str, str]:
    """Base, third person, -ing, past and participle."""
    stem = verb + verb[-1] if verb in DOUBLED else verb
    consonant_y = verb.endswith("y") and verb[-2] not in "aeiou"
    if verb.endswith("e"):
        ing, past = f"{verb[:-1]}ing", f"{verb}d"
    else:
        ing, past = f"{stem}ing", f"{verb[:-1]}ied" if consonant_y else f"{stem}ed"
    past, participle = IRREGULAR.get(verb, (past, past))
    return verb, _plural(verb), ing, past, participle


def _plural(word: str) -> str:
    if word.endswith("y") and word[-2] not in "aeiou":
        return f"{word[:-1]}ies"
    return f"{word}es" if word.endswith(("s", "sh", "ch", "x")) else f"{word}s"


# Numbers in digits

YEAR = re.compile(
    r"(?<![\w$₹£€.,-])(?<!Rs )(?<!Rs\. )(?:19|20)\d\d(?![\w,.-]*\d|-| ?(?:rs|rup|not))"
)
MONEY = re.compile(r"(?:(?<=\$)|(?<=₹)|(?<=£)|(?<=Rs )|(?<=Rs\. )|(?<=Rs\.)|(?<=INR ))\d[\d,]*")
PERCENT = re.compile(r"(?<![\w.])\d{1,2}(?=\s?(?:%|percent))")
VERSION = re.compile(
    r"\b(?:Windows|Python|iOS|Android|iPhone|iPad|PHP|Java|Angular|AngularJS|Galaxy [SJA]|Nexus|"
    r"Xbox|PlayStation|USB|HTML|CSS|Moto [GEX]|OS X|Ubuntu|Season|Episode|Chapter|Level|Stage|"
    r"Class|Grade|Redmi|Redmi Note|OnePlus|Note|Star Wars|Excel|Office|Part|Phase|Type|Act|Form|"
    r"Article|Section|Version|Harry Potter|Web|Surface|Fallout|Core i|GTA|Tier|Unit) ?"
    r"(\d+(?:\.\d+)?)(?![\w.]*\d)",
    re.IGNORECASE,
)  # fmt: skip
AGE = re.compile(
    r"(?<![\w.-])\d{1,2}(?=[ -]?(?:years?|yrs?|year's)[ -]olds?\b)|"
    r"(?:(?<=age of )|(?<=aged )|(?<=age )|(?<=\bI'm )|(?<=\bI am ))\d{2}(?=\s|[?.,])"
)
ORDINAL = re.compile(r"(?<![\w.-])(\d{1,2})(?:st|nd|rd|th)\b", re.IGNORECASE)
CLOCK = re.compile(r"(?<![\w.:])(\d{1,2})(?=(?::\d\d)? ?(?:am|pm|AM|PM|o'clock)\b)")
SPAN = re.compile(r"(?<![\w.,-])\d{1,3}(?= (?:second|minute|hour|day|week|month|year)s?\b(?! old))")
MEASURE = re.compile(
    r"(?<![\w.,'-])\d+(?= ?(?:kgs?|km|kms|cm|mm|lbs?|GB|MB|TB|mbps|miles?|feet|ft|inch|inches|mg|"
    r"pounds|lakhs?|crores?|million|billion|dollars|rupees|LPA|ml|liters?|litres?|volts?|V|Ah|"
    r"marks|people|degrees|followers|calories|times|points)\b)"
)
DECIMAL = re.compile(r"(?<![\w.$])\d\.\d{1,2}(?![\d.])(?= |\?)")
PLAIN = re.compile(r"(?<![\w.,'$₹£%/+-])(?<!top )(?<!Top )\d{1,4}(?=[ ?])(?! ?[%/+=x*-])")


def _digits(text: str, rng: random.Random) -> Iterator[tuple[str, str]]:
    """Another figure of the same sort in the place of the only one of its sort."""
    rules: list[tuple[str, re.Pattern[str], Callable[[str], str]]] = [
        ("year", YEAR, lambda n: str(int(n) + rng.choice((-20, -7, -4, -3, -2, -1, 1, 2, 4)))),
        ("money", MONEY, lambda n: _other_amount(n, rng)),
        ("percent", PERCENT, lambda n: _other(rng, n, (5, 10, 20, 30, 35, 45, 55, 65, 80, 95))),
        ("age", AGE, lambda n: _other(rng, n, (9, 12, 16, 45, 58, 70) if int(n) < 36 else (8, 19))),
        ("ordinal", ORDINAL, lambda n: _ordinal(int(_other(rng, n, (1, 2, 3, 5, 7, 9, 11, 12))))),
        ("clock", CLOCK, lambda n: _other(rng, n, (1, 3, 5, 7, 8, 10, 11))),
        ("span", SPAN, lambda n: _other(rng, n, (1, 2, 3, 5, 10, 20, 30, 60, 90), apart=2)),
        ("measure", MEASURE, lambda n: _other_amount(n, rng)),
        ("decimal", DECIMAL, lambda n: f"{int(n[0]) + 1}.{n[2:]}"),
        ("count", PLAIN, lambda n: str(int(n) + rng.choice((1, 2, 3, 5)) * max(1, int(n) // 10))),
    ]
    for name, pattern, change in rules:
        found = list(pattern.finditer(text))
        if len(found) != 1 or (name == "count" and YEAR.search(text)):
            continue
        match = found[0]
        new = change(match[1] if pattern.groups else match[0])
        if not re.search(rf"(?<![\w.,]){re.escape(new)}(?!\w)", text):
            singular = new == "1" and re.match(r" \w+s\b", text[match.end() :])
            if not singular:
                yield name, text[: match.start()] + new + text[match.end() :]
    match_version = VERSION.search(text)
    if match_version:
        old = match_version[1]
        head, _, tail = old.partition(".")
        change_by = rng.choice((-2, -1, 1, 2, 3))
        new = f"{head}.{int(tail) + 3}" if tail else str(max(1, int(head) + change_by))
        if len(head) < 3 and not re.search(rf"(?<![\d.]){re.escape(new)}(?!\d)", text):
            yield "version", text[: match_version.start(1)] + new + text[match_version.end(1) :]


def _other(rng: random.Random, number: str, choices: Sequence[int], apart: float = 1.0) -> str:
    """One of the choices, at least `apart` times larger or smaller than the number."""
    value = int(number)
    far = [n for n in choices if n != value and max(n, value) >= apart * min(n, value)]
    return str(rng.choice(far))


def _other_amount(number: str, rng: random.Random) -> str:
    value = int(number.replace(",", ""))
    factors = [factor for factor in (2, 3, 5, 10) if value % factor == 0 and value > 20]
    new = value // rng.choice(factors) if factors and rng.random() < 0.5 else None
    new = new or max(2, value) * rng.choice((2, 3, 5, 10))
    return f"{new:,}" if "," in number else str(new)


def _ordinal(number: int) -> str:
    ends = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{'th' if 10 < number < 14 else ends.get(number % 10, 'th')}"


# Entities


def _members(text: str) -> list[str]:
    return [" ".join(member.split()) for member in text.split(",")]


def _inflected(text: str) -> tuple[list[str], list[str]]:
    """The singulars and, in step, the plurals of a class; without a mark both are the same."""
    marked = _members(text)
    irregular = {
        "wolf": "wolves", "potato": "potatoes", "tomato": "tomatoes", "bus": "buses",
        "strawberry": "strawberries", "mattress": "mattresses", "documentary": "documentaries",
        "bakery": "bakeries", "pharmacy": "pharmacies", "travel agency": "travel agencies",
        "brewery": "breweries", "scarf": "scarves", "dress": "dresses", "cactus": "cacti",
    }  # fmt: skip
    singulars = [member.rstrip("*") for member in marked]
    plurals = [
        f"{member[:-1]}s" if member.endswith("*") else irregular.get(member, member)
        for member in marked
    ]
    return singulars, plurals


def _classes() -> list[tuple[str, list[str], re.Pattern[str]]]:
    lists = [(name, _members(names), True) for name, names in NAMES.items()]
    for name, nouns in NOUNS.items():
        singulars, plurals = _inflected(nouns)
        lists.append((name, singulars, False))
        if plurals != singulars:
            counted = [p for s, p in zip(singulars, plurals, strict=True) if s != p]
            lists.append((f"{name}s", counted, False))
    compiled = []
    for name, members, proper in lists:
        longest = sorted(members, key=len, reverse=True)
        one = "|".join(re.escape(member) for member in longest)
        compiled.append((name, members, re.compile(rf"(?<![\w.'’&-]){_guard(one, proper)}")))
    return compiled


def _guard(alternatives: str, proper: bool) -> str:
    """Keep off longer names: no capital beside a proper name, no hyphen beside any."""
    after = r"(?![\w+#'’&-]|\.\w| [A-Z0-9])" if proper else r"(?![\w'’-])"
    return rf"(?:{alternatives}){after}"


CLASSES = _classes()
AFTER_COUNTRY = re.compile(
    r"[?.,!:;)]|$| (?:for|as|to|and|or|after|before|with|without|from|in|on|by|if|is|has|have|than|"
    r"when|while|during|that|who|at|was|will|did|not|instead|better|so|become|do|does|through|"
    r"using|under|over|during|be|like|ever|really|still|win|want|need)\b"
)
SPECIAL_HEADS = re.compile(
    r"(?i)(?:new year|orange is|blue (?:tooth|whale|collar)|green (?:card|tea|house|room)|"
    r"red (?:bull|hat|dot|light|army)|hot dog|heart (?:attack|rate|broken)|sea ?horse|black|"
    r"law of|laws? school|by law|in law|mother (?:tongue|board|in)|father in|bear in|car insurance|"
    r"credit card|graphic card|water (?:park|proof|melon)|gold(?:en)? (?:medal|man)|iron man|"
    r"table (?:of|tennis)|book (?:a|an|my|of)|periodic table|on earth|heart of|school of)"
)


def _entities(text: str, rng: random.Random) -> Iterator[tuple[str, str]]:
    """Another member of its class in the place of a name or noun."""
    for name, members, pattern in CLASSES:
        found = list(pattern.finditer(text))
        if len(found) != 1 or SPECIAL_HEADS.search(text):
            continue
        match = found[0]
        before, after = text[: match.start()], text[match.end() :]
        proper = match[0][:1].isupper() or match[0].startswith("the ")
        if proper and re.search(r"\w [A-Z][\w.]*(?: of| and)? $", before):
            continue
        if proper and re.search(r"(?:^| )[A-Z][\w.]* of $", before):
            continue
        if name == "country" and not AFTER_COUNTRY.match(after):
            continue
        if name == "language" and not _about_language(text):
            continue
        if name == "nationality" and (_about_language(text) or not re.match(r" [a-z]", after)):
            continue
        if name == "month" and match[0] == "March" and not before.endswith(("in ", "of ", "by ")):
            continue
        others = [member for member in members if member.lower() not in text.lower()]
        same_place = {"US", "USA", "UK", "America", "England", "Britain"}
        bare = match[0].removeprefix("the ").replace("United States", "US")
        if name == "country" and bare.replace("United Kingdom", "UK") in same_place:
            others = [member for member in others if member in NAMES_ELSEWHERE]
        if before.endswith(("the ", "The ")) and name in ("country", "city", "state"):
            continue
        if others:
            new = rng.choice(others)
            yield name, _put(text, match.span(), new)


NAMES_ELSEWHERE = set(_members(NAMES["country"])) - {
    "the US", "the USA", "the UK", "the United States", "the United Kingdom", "USA", "UK",
    "America", "England", "Britain",
}  # fmt: skip


def _about_language(text: str) -> bool:
    return bool(
        re.search(
            r"(?i)\b(?:speak|spoken|learn|language|translat\w+|grammar|write|fluent|fluently|"
            r"word|words|vocabulary|dubbed|pronounce|sentence|accent|in english|to english)\b",
            text,
        )
    )


def _same_frame(texts: Sequence[str]) -> Rule:
    """A capitalised word for one that stands between the same words in another question."""
    frame = re.compile(
        r"(?<= )([a-z]+ [a-z]+ )([A-Z][A-Za-z]+(?: [A-Z][A-Za-z]+)?)(\?| [a-z]+)(?![\w'’-])"
    )
    fillers: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for text in texts:
        for match in frame.finditer(text):
            fillers[match[1], match[3]].add(match[2])

    def rule(text: str, rng: random.Random) -> Iterator[tuple[str, str]]:
        found = [match for match in frame.finditer(text) if "I" not in match[2].split()]
        if len(found) != 1:
            return
        match = found[0]
        open_frame = re.search(r"\b(?:is|are|and|or|the|a|an|between|that|if|of) $", match[1])
        others = sorted(
            other
            for other in fillers[match[1], match[3]]
            if other not in text and match[2] not in other and "I" not in other.split()
        )
        if others and not open_frame:
            yield "frame", _put(text, match.span(2), rng.choice(others))

    return rule


# Exchanges

NAME = r"(?:[A-Z][\w.+#&'-]*(?: (?:[A-Z0-9][\w.+#&'-]*))*)"
DET = r"(?:the|a|an|my|your|his|her|our|their|other)"
THING = rf"(?:{NAME}|(?:{DET} )?[a-z][\w-]*(?: [a-z][\w-]*)?)"
SHORT = rf"(?:{NAME}|(?:{DET} )?[a-z][\w-]*)"
END = r"(?=\?|,|\.| (?:in|on|using|with|without|by|for|as|when|if|while|during|after|at)\b)"
COMPARED = (
    r"(?:better|worse|faster|slower|stronger|weaker|cheaper|richer|bigger|smaller|larger|higher|"
    r"lower|older|younger|harder|easier|safer|heavier|lighter|hotter|colder|smarter|taller|denser|"
    r"(?:more|less) [a-z]+|superior)"
)
VERB = "|".join(verb.replace("_", " ") for verb in TRANSITIVE.split())
EXCHANGES = [
    ("from to", rf"\bfrom (?P<x>{THING}) to (?P<y>{THING}){END}"),
    ("from in", rf"\bfrom (?P<x>{NAME})(?: [a-z,]+){{1,7}} (?:in|to|into) (?P<y>{NAME})(?=[ ?.,])"),
    ("in from", rf"\bin (?P<x>{NAME})(?: [a-z,]+){{1,5}} from (?P<y>{NAME})(?=[ ?.,])"),
    (
        "convert",
        rf"\b(?:convert(?:ing)?|transform|turn|change|translate)(?: an?| the| my)? "
        rf"(?P<x>{THING}) (?:in)?to (?:an? )?(?P<y>{THING}){END}",
    ),
    ("than", rf"\b(?:is|are|was|were|Is|Are|Was|Were) (?P<x>{THING}) (?:\w+ )??{COMPARED}(?: \w+)? "
             rf"than (?P<y>{THING}){END}"),
    ("than in", rf"\b{COMPARED}(?: \w+)? (?:in|for|on|to) (?P<x>{SHORT}) than (?:in|for|on|to) "
                rf"(?P<y>{SHORT}){END}"),
    ("prefer", rf"\b(?:prefer|choose|pick|chose|preferred) (?P<x>{SHORT}) (?:to|over) "
               rf"(?P<y>{SHORT}){END}"),
    ("instead", rf"\b(?:use|choose|learn|eat|drink|buy|speak|take|play|read|watch|using|learning|"
                rf"eating|drinking|on|in|for|of|by|study|join|vote for) (?P<x>{SHORT}) "
                rf"(?:instead of|rather than) (?:in |on |for |by )?(?P<y>{SHORT}){END}"),
    ("on effect", rf"\b(?:effects?|impact|influence) of (?P<x>{THING}) (?:on|"
                  rf"upon) (?P<y>{THING}){END}"),
    ("role in", rf"\b(?:role|importance|use|uses|"
                rf"significance) of (?P<x>{THING}) in (?P<y>{THING})\?"),
    ("ratio", rf"\bratio of (?P<x>{SHORT}) to (?P<y>{SHORT}){END}"),
    ("part of", rf"^(?:Is|Was|Are|Why is|Why was) (?P<x>{THING}) (?:really |"
                rf"still )?(?:a )?(?:part|form|"
                rf"type|kind|branch|subset|province|state|member) of (?P<y>{THING}){END}"),
    ("replace", rf"\b(?:replace|replacing|substitute|exchange|swap|trade) (?P<x>{SHORT}) "
                rf"(?:with|by|for) (?P<y>{SHORT}){END}"),
    ("before", rf"\b(?:learn|study|read|watch|play|take|do|eat|drink|use|apply) (?P<x>{SHORT}) "
               rf"(?:before|after) (?:learning |studying |reading |watching |playing |taking |"
               rf"doing "
               rf"|eating |drinking |using )?(?P<y>{SHORT}){END}"),
    ("apps on", rf"\b(?P<x>{NAME}) (?:apps|games|software|programs|files|data|contacts) (?:on|"
                rf"to|with)"
                rf" (?:a |an |my )?(?P<y>{NAME})(?=[ ?.,])"),
    ("send", rf"\b(?:send|transfer|move|copy|add|give|sell|recommend|"
             rf"export|lend|upload) (?P<x>{SHORT}) to (?P<y>{SHORT}){END}"),
    ("X to Y", rf"\b(?P<x>{NAME}) to (?P<y>{NAME}) (?:converter|conversion|exchange|flight|"
               rf"train|bus|"
               rf"distance|translation|route|road)"),
    ("after", rf"\b(?:named after|based on|descended from|come from|came from|evolved? from|"
              rf"derived "
              rf"from|subtract|divided by|divide|multiply|different from)"
              rf" (?P<x>{SHORT}) (?:and not|from|by) (?P<y>{SHORT}){END}"),
    ("without", rf"\b(?:can|could|would|will) (?P<x>{SHORT}) (?:exist|survive|work|live|happen|be "
                rf"possible) without (?P<y>{SHORT}){END}"),
    ("cause", rf"^(?:Can|Could|Does|Do|Will|Would|Did|How does|How do|How did|Why does|Why do|"
              rf"How can)"
              rf" (?P<x>{THING}) (?:affect|cause|influence|increase|change|impact|attract|"
              rf"defeat|beat|"
              rf"destroy|produce|help|become|lead to|control|contain|replace|"
              rf"support) (?P<y>{THING}){END}"),
    ("win against", rf"^(?:Would|Will|Can|Could|Who|How would|How can|Did) (?P<x>{NAME}) (?:win|"
                    rf"fight|"
                    rf"lose|survive|go to war) (?:a war )?(?:against|with|"
                    rf"without) (?P<y>{NAME})(?=[ ?.,])"),
    ("passive", rf"\b(?:is|was|are|were|Is|Was|Are|Were) (?P<x>{SHORT}) (?:\w+ed|known|seen|"
                rf"taken|made|"
                rf"written|beaten|hurt|hated|loved) by (?P<y>{SHORT}){END}"),
    ("look like", rf"^(?:Why|How|When) (?:do|does|did) (?P<x>{SHORT}) (?:treat|behave|"
                  rf"act) (?P<y>{SHORT})"
                  rf"(?= so| like| as| badly|\?)"),
]  # fmt: skip
COMPILED_EXCHANGES = [(name, re.compile(pattern)) for name, pattern in EXCHANGES]
TOWARDS = re.compile(
    rf"\b(?P<aux>[Dd]o|[Dd]oes|[Dd]id|[Ww]ill|[Ww]ould|[Cc]an|[Cc]ould|[Ss]hould) (?P<x>{SHORT}|I) "
    rf"(?P<adv>really |still |always |not |ever |even |so )?(?P<verb>{VERB}) "
    rf"(?P<y>me|him|her|us|them|you|{SHORT}|{DET} [a-z]+ [a-z]+)"
    rf"(?=\?|,|\.| (?:so|in|if|more|when|back|and|for|too|about|as|anymore|again)\b)"
)
OBJECTS = {"I": "me", "he": "him", "she": "her", "we": "us", "they": "them", "you": "you"}
SUBJECTS = {theirs: ours for ours, theirs in OBJECTS.items()}
DEMONYMS = dict(
    pair.split("/")
    for pair in _set(
        """
    Indian/India Chinese/China American/America British/Britain Canadian/Canada
    Australian/Australia Russian/Russia German/Germany Japanese/Japan French/France
    Italian/Italy Spanish/Spain Brazilian/Brazil Mexican/Mexico Israeli/Israel Turkish/Turkey
    Egyptian/Egypt Pakistani/Pakistan Irish/Ireland Swedish/Sweden Polish/Poland Iranian/Iran
    Nigerian/Nigeria
        """
    )
)
COUNTRIES = {country: demonym for demonym, country in DEMONYMS.items()} | {
    "the US": "American", "US": "American", "USA": "American", "the USA": "American",
    "the UK": "British", "UK": "British", "the United States": "American",
}  # fmt: skip
ABROAD = re.compile(
    rf"\b(?P<d>{'|'.join(DEMONYMS)})(?P<p>s?)\b(?P<m>[^?.,]*?) (?P<i>in|to|into|of|about|towards) "
    rf"(?P<c>{'|'.join(sorted(COUNTRIES, key=len, reverse=True))})\b(?! [A-Z])"
)
BETWEEN_THINGS = _set("affect cause influence attract replace hurt help block")
LIVING = _set(
    """
    people men women man woman girls girl boys boy guys guy cats cat dogs dog children child kids
    parents teachers teacher students student wife husband mother father mom dad son daughter boss
    girlfriend boyfriend sister brother friend friends police doctors patients atheists liberals
    conservatives republicans democrats introverts extroverts immigrants politicians employees
    employers crush ex everyone humans animals wolves bears lions snakes sharks aliens"""
)
NO_THING = _set(
    """
    it this that these those there one ones them what which who someone anyone people something
    anything everything way more most just so also other others each another and or not be get
    time then them itself himself me him her us you i we they he she your my is are was were will
    would can could do does did have has had how why when where if all some any every no
    anybody somebody"""
)


PLACES = {place for kind in ("country", "city", "state") for place in _members(NAMES[kind])}


def _exchanged(text: str, rng: random.Random) -> Iterator[tuple[str, str]]:
    """The two ends of a relation, each in the place of the other."""
    for name, pattern in COMPILED_EXCHANGES:
        for match in pattern.finditer(text):
            x, y = match["x"], match["y"]
            places = name not in ("from in", "in from") or {x, y} <= PLACES
            if places and _exchangeable(x, y):
                middle = text[match.end("x") : match.start("y")]
                start, end = match.start("x"), match.end("y")
                head = y[:1].upper() + y[1:] if start == 0 else y
                yield name, f"{text[:start]}{head}{middle}{x}{text[end:]}"
                break
    match_towards = TOWARDS.search(text)
    if match_towards:
        turned = _turned(match_towards)
        if turned:
            start, end = match_towards.span()
            yield "subject and object", text[:start] + turned + text[end:]
    match_abroad = ABROAD.search(text)
    if match_abroad and DEMONYMS[match_abroad["d"]] != match_abroad["c"]:
        demonym, country = COUNTRIES[match_abroad["c"]], DEMONYMS[match_abroad["d"]]
        plural_ok = not match_abroad["p"] or demonym.endswith("n")
        if demonym != match_abroad["d"] and plural_ok:
            new = f"{demonym}{match_abroad['p']}{match_abroad['m']} {match_abroad['i']} {country}"
            yield "abroad", _put(text, match_abroad.span(), new)


def _exchangeable(x: str, y: str) -> bool:
    """Two different phrases of one sort, neither of them a verb or an empty word."""
    first, second = x.split(), y.split()
    empty = (set(map(str.lower, first)) | set(map(str.lower, second))) & NO_THING
    determined = [re.match(DET + r"\b", phrase) is not None for phrase in (x, y)]
    bare = {first[-1].lower(), second[-1].lower()} & _set("the a an my your her other")
    alike = x[:1].isupper() == y[:1].isupper() or determined[0] == determined[1]
    plain_verb = second[0] in VERBS_AFTER_TO or first[0] in VERBS_AFTER_TO
    return bool(
        x.lower() != y.lower()
        and not plain_verb
        and not (empty - {"my", "your", "her", "other"})
        and alike
        and not bare
        and abs(len(first) - len(second)) < 2
    )


def _turned(match: re.Match[str]) -> str | None:
    """Subject and object exchanged, with their cases and the auxiliary in agreement."""
    x, y, aux = match["x"], match["y"], match["aux"]
    pronouns = set(OBJECTS) | set(SUBJECTS)
    for phrase in (x, y):
        words = {word.lower() for word in phrase.split()}
        if phrase not in pronouns and words & (NO_THING - {"my", "your", "her"} - {"people"}):
            return None
    living = all(_is_living(phrase) for phrase in (x, y))
    if not living and match["verb"] not in BETWEEN_THINGS:
        return None
    if x.lower() == y.lower() or "to" in y.split() or y.split()[0] in VERBS_AFTER_TO:
        return None
    subject, objective = SUBJECTS.get(y, y), OBJECTS.get(x, x)
    if x not in OBJECTS and y not in SUBJECTS and _is_plural(x) != _is_plural(y):
        return None
    if aux.lower() in ("do", "does"):
        singular = not _is_plural(subject) and subject not in ("I", "you", "we", "they")
        form = "does" if singular else "do"
        aux = form.capitalize() if aux[0].isupper() else form
    return f"{aux} {subject} {match['adv'] or ''}{match['verb']} {objective}"


def _is_living(phrase: str) -> bool:
    last = phrase.split()[-1]
    return phrase in OBJECTS or phrase in SUBJECTS or last[0].isupper() or last in LIVING


def _is_plural(phrase: str) -> bool:
    last = phrase.split()[-1]
    plural = {"people", "men", "women", "children", "they", "them", "we", "us", "police"}
    return last in plural or (last.endswith("s") and not last.endswith("ss"))


# Edits that must not matter


def _opened(text: str, rng: random.Random) -> Iterator[tuple[str, str]]:
    """A courteous opening or closing."""
    if text.count("?") > 1 or text.startswith("If ") or "." in text:
        return
    first = text.split()[0]
    lower = text if first == "I" or first[1:].lower() != first[1:] else text[0].lower() + text[1:]
    for opener in rng.sample(OPENERS, 2):
        yield opener, opener.format(lower=lower, same=text, bare=text[:-1])


def _respelled(text: str, rng: random.Random) -> Iterator[tuple[str, str]]:
    """A slip of the keyboard within one longer word that is no name."""
    words = [match for match in re.finditer(r"(?<= )[a-z]{6,}(?=[ ?])", text)]
    if not words:
        return
    match = rng.choice(words)
    word = match[0]
    at = rng.randrange(1, len(word) - 2)
    swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    slips = {
        "swapped letters": swapped,
        "dropped letter": word[:at] + word[at + 1 :],
        "doubled letter": word[:at] + word[at] + word[at:],
    }
    for name, slip in slips.items():
        if slip != word:
            yield name, text[: match.start()] + slip + text[match.end() :]


def _without_article(text: str, rng: random.Random) -> Iterator[tuple[str, str]]:
    found = list(re.finditer(r"(?<= )(?:the|a|an) (?=[a-z])(?!few|lot|little|bit|same)", text))
    if found:
        match = rng.choice(found)
        yield "article dropped", text[: match.start()] + text[match.end() :]


def _case_or_mark(text: str, rng: random.Random) -> Iterator[tuple[str, str]]:
    yield "lower case", text.lower()
    yield "upper case", text.upper()
    yield "no mark", text.rstrip("?").rstrip()
    yield "two marks", f"{text}?"
    yield "full stop", f"{text[:-1]}."
    yield "space before mark", f"{text[:-1]} ?"
    if "," in text:
        yield "no comma", text.replace(",", "")
    if "'" in text or "’" in text:
        yield "no apostrophe", text.replace("'", "").replace("’", "")


def questions(path: Path = QUESTIONS) -> list[str]:
    """The distinct texts of a file of pairs, in order."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        pairs = [json.loads(line) for line in lines]
    return sorted({pair[side] for pair in pairs for side in ("a", "b")})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=QUESTIONS)
    parser.add_argument("--samples", type=int, default=3)
    options = parser.parse_args()
    texts = questions(options.data)
    by_kind: defaultdict[str, list[Edit]] = defaultdict(list)
    for edit in [*edits(texts, options.seed), *harmless(texts, options.seed)]:
        by_kind[edit.kind].append(edit)
    rng = random.Random(options.seed)
    for kind, made in by_kind.items():
        print(f"{kind}: {len(made)}")
        for edit in rng.sample(made, min(options.samples, len(made))):
            print(f"    {edit.original}\n  > {edit.edited}")


if __name__ == "__main__":
    main()
