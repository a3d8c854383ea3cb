"""Opinions and the labels that classifiers give: what people like and dislike, in English and Chinese."""

from __future__ import annotations

import random
from dataclasses import dataclass

from world import Pair, held
from world_words import Word, _words

THINGS: dict[str, tuple[Word, ...]] = {
    "film": _words("""
        film:电影,movie:影片,book:书,song:歌曲,story:故事,show:节目,concert:音乐会,game:游戏,play:戏剧,novel:小说,album:专辑
        ending:结局,plot:情节,acting:演技,music:音乐
    """),
    "food": _words("""
        soup:汤,pizza:披萨,coffee:咖啡,cake:蛋糕,breakfast:早饭,dinner:晚饭,fish:鱼,food:食物,tea:茶,chicken:鸡肉,salad:沙拉
        bread:面包,lunch:午饭,dessert:甜点,meal:饭菜,beef:牛肉,noodles:面条,rice:米饭,sandwich:三明治,fruit:水果
    """),
    "place": _words("""
        hotel:酒店,room:房间,restaurant:餐厅,city:城市,beach:海滩,park:公园,museum:博物馆,house:房子,garden:花园,school:学校
        airport:机场,village:村子,bed:床,view:风景,cafe:咖啡馆
    """),
    "people": _words("""
        service:服务,waiter:服务员,staff:员工,driver:司机,teacher:老师,manager:经理,guide:导游,doctor:医生,nurse:护士
        team:团队,host:主人,neighbour:邻居
    """),
    "product": _words("""
        phone:手机,camera:照相机,bag:包,computer:电脑,watch:手表,coat:大衣,umbrella:雨伞,car:汽车,chair:椅子,product:产品
        lamp:台灯,shirt:衬衫,bicycle:自行车,toy:玩具,quality:质量,battery:电池,sofa:沙发,present:礼物
    """),
    "time": _words("""
        day:一天,trip:旅行,weekend:周末,party:聚会,holiday:假期,evening:夜晚,journey:旅程,experience:经历,birthday:生日
        flight:航班,weather:天气,class:课,game day:比赛日
    """),
}  # fmt: skip
GOOD = _words("""
great:很棒,good:很好,wonderful:美妙,excellent:优秀,amazing:惊人地 好,fantastic:太棒,lovely:可爱,perfect:完美,nice:不错
brilliant:出色,superb:一流,beautiful:美丽,awesome:超赞,incredible:令人惊叹,pleasant:令人愉快,fine:挺好
outstanding:杰出,terrific:绝佳,marvellous:妙极,delightful:讨人喜欢
""")
BAD = _words("""
bad:很差,terrible:糟糕,awful:差劲,horrible:可怕,poor:低劣,disappointing:令人失望,dreadful:糟透,disgusting:恶心,useless:没用
ugly:难看,annoying:烦人,stupid:愚蠢,worthless:毫无价值,unpleasant:令人不快,lousy:极差,sad:可悲,mediocre:平庸,nasty:讨厌
weak:弱,pathetic:可怜
""")
OWN: dict[str, tuple[tuple[Word, ...], tuple[Word, ...]]] = {
    "film": (
        _words("interesting:有趣,funny:搞笑,exciting:刺激,moving:感人,clever:巧妙,touching:动人,gripping:扣人心弦,original:新颖"),
        _words("boring:无聊,dull:乏味,silly:傻气,slow:缓慢,confusing:混乱,predictable:老套,too long:太长,empty:空洞"),
    ),
    "food": (
        _words("delicious:美味,tasty:好吃,fresh:新鲜,sweet:甜美,juicy:多汁,crispy:酥脆,hot and fresh:又 热 又 新鲜"),
        _words("cold:冰冷,salty:太咸,burnt:烧焦,stale:不新鲜,bitter:苦涩,tasteless:没味道,greasy:油腻,sour:发酸,raw:没熟"),
    ),
    "place": (
        _words("comfortable:舒适,clean:干净,quiet:安静,cosy:温馨,peaceful:宁静,bright:明亮,spacious:宽敞,charming:迷人"),
        _words("dirty:肮脏,noisy:吵闹,tiny:狭小,dark:昏暗,smelly:难闻,crowded:拥挤,uncomfortable:不舒服,damp:潮湿,old and dirty:又 旧 又 脏"),
    ),
    "people": (
        _words("friendly:友好,helpful:热心,kind:善良,polite:礼貌,patient:耐心,professional:专业,quick:迅速,warm:热情"),
        _words("rude:粗鲁,slow:缓慢,lazy:懒惰,unfriendly:不友好,careless:粗心,impolite:无礼,impatient:不耐烦,arrogant:傲慢"),
    ),
    "product": (
        _words("useful:有用,fast:很快,strong:结实,reliable:可靠,cheap and good:物美价廉,practical:实用,elegant:优雅,well made:做工 精良"),
        _words("broken:坏 了,too expensive:太贵,fragile:易碎,unreliable:不可靠,defective:有 缺陷,flimsy:不结实,overpriced:定价 过高,faulty:有 毛病"),
    ),
    "time": (
        _words("unforgettable:难忘,fun:好玩,relaxing:轻松,happy:快乐,exciting:刺激,special:特别,magical:神奇,sunny:阳光 明媚"),
        _words("boring:无聊,tiring:累人,stressful:压力 很 大,long and boring:又 长 又 无聊,miserable:悲惨,exhausting:让 人 疲惫,gloomy:阴沉"),
    ),
}  # fmt: skip

FRAMES: tuple[tuple[str, str], ...] = tuple(
    (row.split("|")[0].strip(), row.split("|")[1].strip())
    for row in """
    the {t} is {a}|这 {t} 很 {a}
    the {t} was {a}|那 {t} 很 {a}
    this {t} is really {a}|这 {t} 真的 很 {a}
    this {t} is so {a}|这 {t} 太 {a} 了
    what a {a} {t}|多么 {a} 的 {t}
    {a} {t}|{a} 的 {t}
    {a}|{a}
    so {a}|太 {a} 了
    really {a}|真 {a}
    very {a} {t}|非常 {a} 的 {t}
    I think the {t} is {a}|我 认为 这 {t} {a}
    I find this {t} {a}|我 发现 这 {t} {a}
    the {t} was {a} and {b}|那 {t} {a} 又 {b}
    {a} and {b}|{a} ， {b}
    it was {a}|它 {a}
    it is a {a} {t}|这 是 {a} 的 {t}
    my friend says the {t} is {a}|我 朋友 说 这 {t} {a}
    everything about the {t} was {a}|这 {t} 的 一切 都 {a}
    we had a {a} {t}|我们 的 {t} {a}
    the whole {t} felt {a}|整个 {t} 感觉 {a}
    the {t} in {city} was {a}|{city} 的 {t} {a}
    {name} thought the {t} was {a}|{name} 觉得 {t} {a}
    the {t} and the {u} were {a}|{t} 和 {u} 都 {a}
    honestly, the {t} is {a}|说 实话 ， 这 {t} {a}
    today the {t} was {a}|今天 的 {t} {a}
    a truly {a} {t}|一个 真正 {a} 的 {t}
    a {a} {t}|一 次 {a} 的 {t}
    the {t} was {a} and the {x} was {y}|那 {t} {a} ， {x} {y}
    the {x} is {y}, and the {t} is {a}|这 {x} {y} ， {t} {a}
    I must say that the {t} was {a}|我 必须 说 这 {t} {a}
    in my opinion the {t} is {a}|在 我 看来 这 {t} {a}
    """.strip().splitlines()
)
LIKED: tuple[tuple[str, str], ...] = tuple(
    (row.split("|")[0].strip(), row.split("|")[1].strip())
    for row in """
    I love this {t}|我 爱 这 {t}
    I like the {t}|我 喜欢 这 {t}
    I really enjoyed the {t}|我 真 享受 这 {t}
    I am very happy with the {t}|我 对 这 {t} 非常 满意
    the best {t} ever|有史以来 最 好 的 {t}
    this is my favourite {t}|这 是 我 最 喜欢 的 {t}
    I recommend this {t}|我 推荐 这 {t}
    everybody loves the {t}|大家 都 爱 这 {t}
    we will come back to this {t}|我们 会 再 来 这 {t}
    thank you for the {a} {t}|谢谢 你们 {a} 的 {t}
    five stars for the {t}|给 这 {t} 五 颗 星
    the {t} made me happy|这 {t} 让 我 高兴
    the {t} is not bad at all|这 {t} 一点 也 不 差
    nothing was wrong with the {t}|这 {t} 没有 任何 问题
    the {t} could not be better|这 {t} 不 能 更 好 了
    the {t} is worth the money|这 {t} 物有所值
    I had so much fun with this {t}|这 {t} 让 我 开心 极 了
    well done|做 得 好
    I am so happy|我 太 高兴 了
    I feel great today|我 今天 感觉 很 好
    we loved every minute of it|我们 爱 每 一 分钟
    it works perfectly|它 非常 好用
    highly recommended|强烈 推荐
    I love it|我 喜欢 它
    I love {city}|我 爱 {city}
    best day ever|最 棒 的 一天
    """.strip().splitlines()
)
DISLIKED: tuple[tuple[str, str], ...] = tuple(
    (row.split("|")[0].strip(), row.split("|")[1].strip())
    for row in """
    I hate this {t}|我 讨厌 这 {t}
    I do not like the {t}|我 不 喜欢 这 {t}
    I did not enjoy the {t}|我 不 享受 这 {t}
    I am very unhappy with the {t}|我 对 这 {t} 非常 不 满意
    the worst {t} ever|有史以来 最 差 的 {t}
    this is the worst {t} of all|这 是 最 糟 的 {t}
    I do not recommend this {t}|我 不 推荐 这 {t}
    nobody likes the {t}|没有 人 喜欢 这 {t}
    we will never come back to this {t}|我们 再 也 不 会 来 这 {t}
    do not buy this {t}|不要 买 这 {t}
    one star for the {t}|给 这 {t} 一 颗 星
    the {t} made me angry|这 {t} 让 我 生气
    the {t} was not good|这 {t} 不 好
    everything was wrong with the {t}|这 {t} 到处 都 有 问题
    the {t} could not be worse|这 {t} 不 能 更 差 了
    the {t} is a waste of money|这 {t} 浪费 钱
    the {t} was a waste of time|这 {t} 浪费 时间
    I want my money back|我 要 退钱
    I am so angry|我 太 生气 了
    I feel terrible today|我 今天 感觉 很 糟
    I regret every minute of it|我 后悔 每 一 分钟
    it does not work|它 不 好用
    never again|再 也 不 会 了
    I hate it|我 讨厌 它
    I hate {city}|我 讨厌 {city}
    worst day ever|最 糟 的 一天
    """.strip().splitlines()
)
SO_SO: tuple[tuple[str, str], ...] = tuple(
    (row.split("|")[0].strip(), row.split("|")[1].strip())
    for row in """
    the {t} was okay|这 {t} 还 行
    the {t} is average|这 {t} 一般
    the {t} is neither good nor bad|这 {t} 不 好 也 不 坏
    I have no opinion about the {t}|我 对 这 {t} 没有 看法
    it is just a normal {t}|这 只是 普通 的 {t}
    the {t} starts at five o'clock|{t} 五 点 开始
    so so|马马虎虎
    """.strip().splitlines()
)


@dataclass(frozen=True, slots=True)
class Opinion:
    """What somebody thinks: ``mood`` is ``good``, ``bad`` or ``neutral``; ``about`` the kind of thing."""

    text: Pair
    mood: str
    about: str
    frame: str
    held: bool


def opinion(rng: random.Random, mood: str, cities: tuple[Word, ...], names: tuple[Word, ...]) -> Opinion:
    """Draw an opinion of one mood, held out or not."""
    about = rng.choice(tuple(THINGS))
    special = {"good": LIKED, "bad": DISLIKED, "neutral": SO_SO}[mood]
    en, zh = rng.choice(special) if mood == "neutral" or rng.random() < 0.35 else rng.choice(FRAMES)
    things = rng.sample(THINGS[about], 2)
    n = 0 if mood == "good" else 1
    a, b = (rng.choice(rng.choice(((GOOD, BAD)[n], OWN[about][n]))) for _ in "ab")
    while a == b:
        b = rng.choice((GOOD, BAD)[n])
    city, name = rng.choice(cities), rng.choice(names)
    other = rng.choice([kind for kind in THINGS if kind != about])
    x, y = rng.choice(THINGS[other]), rng.choice(OWN[other][n])
    parts = {"t": things[0], "u": things[1], "a": a, "b": b, "city": city, "name": name, "x": x, "y": y}
    text = en.format(**{k: w.en for k, w in parts.items()}), zh.format(**{k: w.zh for k, w in parts.items()})
    words = [parts[k].en for k in parts if f"{{{k}}}" in en]
    out = held("opinion", ".".join(words)) if len(words) > 1 else False
    frame = f"{en}@{about}"
    return Opinion(text, mood, about, en, out or (len(words) > 0 and held("opinion frame", frame)))


# --- labels -----------------------------------------------------------------------------------------------------

SENTIMENT = tuple(
    tuple(row.strip().split("/"))
    for row in """
    good/bad/neutral
    positive/negative/neutral
    Positive/Negative/Neutral
    POSITIVE/NEGATIVE/NEUTRAL
    pos/neg/neu
    happy/unhappy/neutral
    praise/complaint/other
    like/dislike/no opinion
    satisfied/dissatisfied/undecided
    recommend/avoid/unsure
    好评/差评/中评
    正面/负面/中性
    积极/消极/中立
    满意/不满意/一般
    好/坏/一般
    喜欢/不喜欢/无所谓
    表扬/投诉/其他
    """.strip().splitlines()
)
"""Spellings of good, bad and neutral that go together."""

COMMON = tuple(row for row in SENTIMENT if row[0] in ("good", "positive", "好评"))
"""The spellings that most people choose."""

SENTIMENT_SAYS: dict[str, tuple[str, ...]] = {
    "good": ("the writer likes it", "the text is positive", "praise", "a good opinion", "作者 喜欢", "正面 的 评价", "happy"),
    "bad": ("the writer does not like it", "the text is negative", "a complaint", "a bad opinion", "作者 不 喜欢", "负面 的 评价"),
    "neutral": ("no opinion", "neither good nor bad", "just a fact", "没有 意见", "只是 事实"),
}  # fmt: skip

TOPICS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "weather": (("weather", "Weather", "climate", "天气", "气象"), ("rain, sun, wind and temperature", "关于 天气")),
    "food": (("food", "Food", "eating", "meals", "食物", "美食", "饮食"), ("eating, drinking and cooking", "关于 吃 和 喝")),
    "animals": (("animals", "Animals", "animal", "动物"), ("cats, dogs and other animals", "关于 动物")),
    "travel": (("travel", "Travel", "trips", "旅行", "旅游", "出行"), ("trips, trains, planes and hotels", "关于 旅行")),
    "shopping": (("shopping", "Shopping", "buying", "orders", "购物"), ("shops, prices and orders", "关于 买 东西")),
    "sports": (("sports", "Sports", "sport", "体育", "运动"), ("games, matches and exercise", "关于 运动")),
    "work": (("work", "Work", "job", "business", "工作"), ("jobs, the office and meetings", "关于 工作")),
    "health": (("health", "Health", "medicine", "健康", "医疗"), ("doctors, illness and medicine", "关于 健康")),
    "music": (("music", "Music", "音乐"), ("songs, concerts and instruments", "关于 音乐")),
    "school": (("school", "School", "education", "study", "学校", "教育", "学习"), ("lessons, exams and homework", "关于 学校")),
    "family": (("family", "Family", "relatives", "家庭", "家人"), ("parents, children and birthdays", "关于 家人")),
}  # fmt: skip
"""Each topic's spellings and descriptions."""
