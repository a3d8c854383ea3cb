"""The sentence frames of the small world: what can happen, in English and Chinese with the same slots.

A frame of an action is a verb in one of the ``PATTERNS``; a frame of a state is one of ``STATES``. Slots in braces:
``S`` who does it, ``B T P`` the verb's base, present and past form, ``V`` the Chinese verb, ``O`` what it is done to,
``X`` a second person; the other slots are listed in ``world.SLOTS``. Chinese is spaced between words.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pattern:
    """How an action is told. Its ``tense`` decides which questions it can answer."""

    key: str
    tense: str
    en: str
    zh: str


@dataclass(frozen=True, slots=True)
class State:
    """A fact that is not an action, with the questions it answers: slot, English and Chinese question."""

    key: str
    topic: str
    en: str
    zh: str
    asks: tuple[tuple[str, str, str], ...]


def _patterns(rows: str) -> tuple[Pattern, ...]:
    return tuple(Pattern(*(part.strip() for part in row.split("|"))) for row in rows.strip().splitlines())


def _states(rows: str) -> tuple[State, ...]:
    """A state is a line ``key | topic | en | zh``; the lines ``- slot | en | zh`` below it are its questions."""
    found: list[State] = []
    for row in rows.strip().splitlines():
        if row.startswith("-"):
            slot, en, zh = (part.strip() for part in row[1:].split("|"))
            last = found.pop()
            found.append(State(last.key, last.topic, last.en, last.zh, (*last.asks, (slot, en, zh))))
        else:
            found.append(State(*(part.strip() for part in row.split("|")), asks=()))
    return tuple(found)


PATTERNS = _patterns("""
plain|past|{S} {P} {O}|{S} {V} 了 {O}
day|past|{S} {P} {O} on {day}|{S} {day} {V} 了 {O}
day_first|past|on {day}, {S} {P} {O}|{day} ， {S} {V} 了 {O}
city|past|{S} {P} {O} in {city}|{S} 在 {city} {V} 了 {O}
city_day|past|{S} {P} {O} in {city} on {day}|{S} {day} 在 {city} {V} 了 {O}
place|past|{S} {P} {O} at the {place}|{S} 在 {place} {V} 了 {O}
yesterday|past|yesterday {S} {P} {O} at the {place}|昨天 {S} 在 {place} {V} 了 {O}
yesterday_city|past|{S} {P} {O} in {city} yesterday|{S} 昨天 在 {city} {V} 了 {O}
yesterday_plain|past|{S} {P} {O} yesterday|{S} 昨天 {V} 了 {O}
this_morning|past|{S} {P} {O} this morning|{S} 今天 早上 {V} 了 {O}
last_week|past|last week {S} {P} {O} in {city}|上周 {S} 在 {city} {V} 了 {O}
month|past|{S} {P} {O} in {month}|{S} {month} {V} 了 {O}
hour|past|at {hour} o'clock, {S} {P} {O}|{hour} 点 ， {S} {V} 了 {O}
together|past|{S} and {X} {P} {O} together|{S} 和 {X} 一起 {V} 了 {O}
because|past|because it was {weather}, {S} {P} {O}|因为 天气 {weather} ， 所以 {S} {V} 了 {O}
felt|past|{S} felt {mood} and {P} {O}|{S} 感到 {mood} ， {V} 了 {O}
also|past|{S} also {P} {O}|{S} 也 {V} 了 {O}
not|not|{S} did not {B} {O}|{S} 没有 {V} {O}
never|not|{S} never {P} {O} in {city}|{S} 从来 没有 在 {city} {V} 过 {O}
tomorrow|future|{S} will {B} {O} tomorrow|{S} 明天 会 {V} {O}
will_place|future|on {day}, {S} will {B} {O} at the {place}|{day} ， {S} 会 在 {place} {V} {O}
will_month|future|{S} will {B} {O} in {month}|{S} {month} 会 {V} {O}
next_week|future|next week {S} will {B} {O} in {city}|下周 {S} 会 在 {city} {V} {O}
want|want|{S} {wants} to {B} {O}|{S} 想 {V} {O}
want_place|want|{S} {wants} to {B} {O} at the {place}|{S} 想 在 {place} {V} {O}
must|must|{S} must {B} {O} today|{S} 今天 必须 {V} {O}
can|can|{S} can {B} {O} here|{S} 可以 在 这里 {V} {O}
habit|habit|{S} {T} {O} every {day}|{S} 每个 {day} {V} {O}
often|habit|{S} often {T} {O} in the {daytime}|{S} 经常 在 {daytime} {V} {O}
season|habit|in {season}, {S} {T} {O} at the {place}|{season} ， {S} 在 {place} {V} {O}
did|did|did {S} {B} {O}|{S} {V} 了 {O} 吗
will|did|will {S} {B} {O} on {day}|{S} {day} 会 {V} {O} 吗
why|did|why did {S} {B} {O}|{S} 为什么 {V} 了 {O}
""")

ASKS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "past": (
        ("S", "who {P} {O}", "谁 {V} 了 {O}"),
        ("O", "what did {S} {B}", "{S} {V} 了 什么"),
        ("n", "how many {many} did {S} {B}", "{S} {V} 了 多少 {bare}"),
        ("where", "where did {S} {B} {O}", "{S} 在 哪里 {V} 了 {O}"),
        ("when", "when did {S} {B} {O}", "{S} 什么时候 {V} 了 {O}"),
    ),
    "future": (
        ("S", "who will {B} {O}", "谁 会 {V} {O}"),
        ("O", "what will {S} {B}", "{S} 会 {V} 什么"),
        ("n", "how many {many} will {S} {B}", "{S} 会 {V} 多少 {bare}"),
        ("where", "where will {S} {B} {O}", "{S} 会 在 哪里 {V} {O}"),
        ("when", "when will {S} {B} {O}", "{S} 什么时候 会 {V} {O}"),
    ),
    "want": (
        ("S", "who wants to {B} {O}", "谁 想 {V} {O}"),
        ("O", "what does {S} want to {B}", "{S} 想 {V} 什么"),
        ("where", "where does {S} want to {B} {O}", "{S} 想 在 哪里 {V} {O}"),
    ),
    "must": (("S", "who must {B} {O} today", "谁 今天 必须 {V} {O}"),),
    "habit": (
        ("S", "who {T} {O}", "谁 {V} {O}"),
        ("when", "when does {S} {B} {O}", "{S} 什么时候 {V} {O}"),
        ("where", "where does {S} {B} {O}", "{S} 在 哪里 {V} {O}"),
    ),
}

STATES = _states("""
lives|home|{name} lives in {city}|{name} 住 在 {city}
- city|where does {name} live|{name} 住 在 哪里
- name|who lives in {city}|谁 住 在 {city}
from|home|{name} comes from {city}|{name} 来自 {city}
- city|where does {name} come from|{name} 来自 哪里
- name|who comes from {city}|谁 来自 {city}
job|work|{name} is a {job}|{name} 是 一名 {job}
- job|what is {name}'s job|{name} 的 工作 是 什么
works|work|{name} works at the {place}|{name} 在 {place} 工作
- place|where does {name} work|{name} 在 哪里 工作
- name|who works at the {place}|谁 在 {place} 工作
works_in|work|{name} works in {city}|{name} 在 {city} 工作
- city|where does {name} work|{name} 在 哪里 工作
- name|who works in {city}|谁 在 {city} 工作
boss|work|the boss asked {name} to work on {day}|老板 让 {name} {day} 上班
meeting|work|the meeting with {name} is on {day}|和 {name} 的 会议 在 {day}
- day|when is the meeting with {name}|和 {name} 的 会议 在 什么时候
meeting_hour|work|the meeting starts at {hour} o'clock|会议 {hour} 点 开始
- hour|when does the meeting start|会议 几 点 开始
salary|work|the office pays the {job} {price} yuan|办公室 付 给 {job} {price} 元
- price|how much does the office pay the {job}|办公室 付 给 {job} 多少 元
relative|family|{name}'s {relative} is a {job}|{name} 的 {relative} 是 一名 {job}
- job|what is the job of {name}'s {relative}|{name} 的 {relative} 的 工作 是 什么
relative_name|family|{name}'s {relative} is called {name2}|{name} 的 {relative} 叫 {name2}
- name2|what is {name}'s {relative} called|{name} 的 {relative} 叫 什么
age|family|{name} is {number} years old|{name} {number} 岁
- number|how old is {name}|{name} 多大
birthday|family|{name}'s birthday is in {month}|{name} 的 生日 在 {month}
- month|when is {name}'s birthday|{name} 的 生日 在 什么时候
mood|mood|{name} is {mood} today|{name} 今天 很 {mood}
- mood|how is {name} today|{name} 今天 怎么样
- name|who is {mood} today|谁 今天 很 {mood}
why_mood|mood|{name} was {mood} on {day}|{name} {day} 很 {mood}
- day|when was {name} {mood}|{name} 什么时候 很 {mood}
today|time|today is {day}|今天 是 {day}
- day|what day is today|今天 星期 几
tomorrow_is|time|tomorrow is {day}|明天 是 {day}
- day|what day is tomorrow|明天 星期 几
today_weather|weather|today is {day}, and the weather is {weather}|今天 是 {day} ， 天气 {weather}
- weather|what is the weather like today|今天 天气 怎么样
weather|weather|the weather in {city} is {weather}|{city} 的 天气 {weather}
- weather|what is the weather like in {city}|{city} 的 天气 怎么样
weather_day|weather|on {day}, it was {weather} in {city}|{day} ， {city} 天气 {weather}
- day|when was it {weather} in {city}|{city} 什么时候 天气 {weather}
sky|weather|it will {sky} in {city} on {day}|{day} {city} 会 {sky}
- day|when will it {sky} in {city}|{city} 什么时候 会 {sky}
- city|where will it {sky} on {day}|{day} 哪里 会 {sky}
sky_tomorrow|weather|it will {sky} tomorrow|明天 会 {sky}
climate|weather|it is usually {weather} in {season}|{season} 通常 {weather}
- weather|what is it usually like in {season}|{season} 通常 怎么样
degrees|weather|the temperature in {city} is {number} degrees|{city} 的 气温 是 {number} 度
- number|what is the temperature in {city}|{city} 的 气温 是 多少 度
- city|where is the temperature {number} degrees|哪里 的 气温 是 {number} 度
wind|weather|there was a strong wind in {city} in {month}|{month} {city} 刮 了 大风
- month|when was there a strong wind in {city}|{city} 什么时候 刮 了 大风
food_price|food|the {food} costs {price} yuan|{food} 卖 {price} 元
- price|how much does the {food} cost|{food} 卖 多少 元
favourite_food|food|{name}'s favourite food is {foods}|{name} 最 喜欢 的 食物 是 {foods}
- foods|what is {name}'s favourite food|{name} 最 喜欢 的 食物 是 什么
likes|food|{name} likes {foods}|{name} 喜欢 {foods}
- foods|what does {name} like|{name} 喜欢 什么
- name|who likes {foods}|谁 喜欢 {foods}
likes_meal|food|{name} likes {fare}|{name} 喜欢 {fare}
- fare|what does {name} like|{name} 喜欢 什么
- name|who likes {fare}|谁 喜欢 {fare}
smell|food|the {food} smells good|{food} 闻 起来 很 香
recipe|food|{name} put {foods} in the soup|{name} 在 汤 里 放 了 {foods}
- foods|what did {name} put in the soup|{name} 在 汤 里 放 了 什么
dinner|food|for dinner there are {foods} and {foods2}|晚饭 有 {foods} 和 {foods2}
breakfast|food|{name} has {foods} for breakfast|{name} 早饭 吃 {foods}
- foods|what does {name} have for breakfast|{name} 早饭 吃 什么
goods_price|shopping|the {look} {good} costs {price} yuan|这 {good.m} {look} {good} 卖 {price} 元
- price|how much does the {look} {good} cost|这 {good.m} {look} {good} 卖 多少 元
spent|shopping|{name} spent {price} yuan at the {place}|{name} 在 {place} 花 了 {price} 元
- price|how much did {name} spend at the {place}|{name} 在 {place} 花 了 多少 元
- place|where did {name} spend {price} yuan|{name} 在 哪里 花 了 {price} 元
discount|shopping|the shop has a sale on {day}|商店 {day} 打折
- day|when does the shop have a sale|商店 什么时候 打折
shop_open|shopping|the {place} opens at {hour} o'clock|{place} {hour} 点 开门
- hour|when does the {place} open|{place} 几 点 开门
shop_close|shopping|the {place} closes at {hour} o'clock|{place} {hour} 点 关门
- hour|when does the {place} close|{place} 几 点 关门
gift|shopping|{name}'s present for {name2} is a {good}|{name} 给 {name2} 的 礼物 是 一 {good.m} {good}
order_price|shopping|order {code} costs {price} yuan|订单 {code} 一共 {price} 元
- price|how much does order {code} cost|订单 {code} 一共 多少 元
order_day|shopping|order {code} will arrive on {day}|订单 {code} {day} 会 到
- day|when will order {code} arrive|订单 {code} 什么时候 会 到
order_name|shopping|order {code} is for {name}|订单 {code} 是 {name} 的
- name|who is order {code} for|订单 {code} 是 谁 的
fly|travel|{name} flew to {city} in {month}|{name} {month} 飞往 了 {city}
- city|where did {name} fly|{name} 飞往 了 哪里
- month|when did {name} fly to {city}|{name} 什么时候 飞往 了 {city}
- name|who flew to {city}|谁 飞往 了 {city}
go_by|travel|{name} went to {city} by {vehicle}|{name} 坐 {vehicle} 去 了 {city}
- vehicle|how did {name} go to {city}|{name} 怎么 去 了 {city}
- city|where did {name} go by {vehicle}|{name} 坐 {vehicle} 去 了 哪里
leave|travel|the {vehicle} to {city} leaves at {hour} o'clock|去 {city} 的 {vehicle} {hour} 点 出发
- hour|when does the {vehicle} to {city} leave|去 {city} 的 {vehicle} 几 点 出发
fare|travel|a ticket to {city} costs {price} yuan|去 {city} 的 票 要 {price} 元
- price|how much is a ticket to {city}|去 {city} 的 票 要 多少 元
visit|travel|{name} will travel to {city} on {day}|{name} {day} 要 去 {city} 旅行
- day|when will {name} travel to {city}|{name} 什么时候 要 去 {city} 旅行
- city|where will {name} travel on {day}|{name} {day} 要 去 哪里 旅行
hotel|travel|{name} booked a hotel in {city}|{name} 在 {city} 订 了 酒店
- city|where did {name} book a hotel|{name} 在 哪里 订 了 酒店
luggage|travel|{name} packed the suitcase for {city}|{name} 为 去 {city} 收拾 了 行李
near|travel|the {place} is near the {place2}|{place} 在 {place2} 附近
- place2|where is the {place}|{place} 在 哪里
pet|animals|{name} has a {animal} called {pet}|{name} 有 一 {animal.m} 叫 {pet} 的 {animal}
- pet|what is {name}'s {animal} called|{name} 的 {animal} 叫 什么
- name|who has a {animal} called {pet}|谁 有 一 {animal.m} 叫 {pet} 的 {animal}
has|animals|{name} has a {animal}|{name} 有 一 {animal.m} {animal}
- animal|what animal does {name} have|{name} 有 什么 动物
- name|who has a {animal}|谁 有 一 {animal.m} {animal}
he_has|animals|he has a {animal}|他 有 一 {animal.m} {animal}
she_has|animals|she has a {animal}|她 有 一 {animal.m} {animal}
pet_likes|animals|{name}'s {animal} likes {fare}|{name} 的 {animal} 喜欢 {fare}
- fare|what does {name}'s {animal} like|{name} 的 {animal} 喜欢 什么
my_pet|animals|my {animal} likes {fare}|我 的 {animal} 喜欢 {fare}
- fare|what does my {animal} like|我 的 {animal} 喜欢 什么
beast|animals|the {animal} sleeps in the {place}|{animal} 在 {place} 睡觉
- place|where does the {animal} sleep|{animal} 在 哪里 睡觉
- animal|what sleeps in the {place}|什么 在 {place} 睡觉
beast_food|animals|the {animal} likes to eat {foods}|{animal} 喜欢 吃 {foods}
- foods|what does the {animal} like to eat|{animal} 喜欢 吃 什么
beast_colour|animals|{name}'s {animal} is {color}|{name} 的 {animal} 是 {color} 的
- color|what color is {name}'s {animal}|{name} 的 {animal} 是 什么 颜色 的
wild|animals|{animals} live in the forest|{animals} 生活 在 森林 里
zoo|animals|the zoo in {city} has {number} {animals}|{city} 的 动物园 有 {number} {animal.m} {animal}
- number|how many {animals} does the zoo in {city} have|{city} 的 动物园 有 多少 {animal}
match|sports|{name} won the {sport} match on {day}|{name} {day} 赢 了 {sport} 比赛
- name|who won the {sport} match on {day}|谁 {day} 赢 了 {sport} 比赛
- sport|which match did {name} win on {day}|{name} {day} 赢 了 什么 比赛
lost_match|sports|{name} lost the {sport} match in {city}|{name} 在 {city} 输 了 {sport} 比赛
- city|where did {name} lose the {sport} match|{name} 在 哪里 输 了 {sport} 比赛
exercise|sports|{name} likes to {exercise} in {season}|{name} 喜欢 在 {season} {exercise}
- exercise|what does {name} like to do in {season}|{name} 喜欢 在 {season} 做 什么
- season|when does {name} like to {exercise}|{name} 喜欢 什么时候 {exercise}
team|sports|the {sport} team from {city} is very strong|{city} 的 {sport} 队 很 强
coach|sports|{name} is the coach of the {sport} team|{name} 是 {sport} 队 的 教练
- name|who is the coach of the {sport} team|谁 是 {sport} 队 的 教练
ill|health|{name} has a {illness}|{name} {illness} 了
- illness|what illness does {name} have|{name} 得 了 什么 病
medicine|health|{name} takes medicine for the {illness} at {hour} o'clock|{name} {hour} 点 吃 治 {illness} 的 药
- hour|when does {name} take medicine for the {illness}|{name} 几 点 吃 治 {illness} 的 药
hospital|health|{name} saw the doctor on {day}|{name} {day} 看 了 医生
- day|when did {name} see the doctor|{name} 什么时候 看 了 医生
nurse|health|the nurse gave {name} some medicine|护士 给 了 {name} 一些 药
rest|health|{name} is ill and must rest until {day}|{name} 病 了 ， 必须 休息 到 {day}
- day|until when must {name} rest|{name} 必须 休息 到 什么时候
instrument|music|{name} can play the {instrument}|{name} 会 演奏 {instrument}
- instrument|what can {name} play|{name} 会 演奏 什么
- name|who can play the {instrument}|谁 会 演奏 {instrument}
concert|music|the concert in {city} is on {day}|{city} 的 音乐会 在 {day}
- day|when is the concert in {city}|{city} 的 音乐会 在 什么时候
- city|where is the concert on {day}|{day} 的 音乐会 在 哪里
song|music|{name} sang a song at the {place}|{name} 在 {place} 唱 了 一 首 歌
- place|where did {name} sing a song|{name} 在 哪里 唱 了 一 首 歌
listen|music|{name} listens to {instrument} music in the {daytime}|{name} {daytime} 听 {instrument} 音乐
- daytime|when does {name} listen to {instrument} music|{name} 什么时候 听 {instrument} 音乐
band|music|the band from {city} needs a new {instrument}|{city} 的 乐队 需要 新 {instrument}
subject|school|{name} teaches {subject} at the school|{name} 在 学校 教 {subject}
- subject|what does {name} teach at the school|{name} 在 学校 教 什么
- name|who teaches {subject} at the school|谁 在 学校 教 {subject}
exam|school|the {subject} exam is on {day}|{subject} 考试 在 {day}
- day|when is the {subject} exam|{subject} 考试 在 什么时候
homework|school|{name} has {subject} homework|{name} 有 {subject} 作业
- subject|what homework does {name} have|{name} 有 什么 作业
lesson|school|the {subject} lesson starts at {hour} o'clock|{subject} 课 {hour} 点 开始
- hour|when does the {subject} lesson start|{subject} 课 几 点 开始
pupils|school|there are {number} students in the {subject} class|{subject} 班 有 {number} 个 学生
- number|how many students are in the {subject} class|{subject} 班 有 多少 个 学生
colour|home|{name}'s favourite color is {color}|{name} 最 喜欢 的 颜色 是 {color}
- color|what is {name}'s favourite color|{name} 最 喜欢 的 颜色 是 什么
key_place|home|the {good} is in the {place}|{good} 在 {place}
- place|where is the {good}|{good} 在 哪里
- good|what is in the {place}|什么 在 {place}
phone_number|home|{name}'s phone number is {code}|{name} 的 电话 号码 是 {code}
- code|what is {name}'s phone number|{name} 的 电话 号码 是 多少
room|home|{name} is in room {code}|{name} 在 {code} 号 房间
- code|which room is {name} in|{name} 在 几 号 房间
""")

WRAPPERS = _patterns("""
says||{who} says that {c}|{who} 说 {c}
think||I think that {c}|我 觉得 {c}
maybe||maybe {c}|也许 {c}
heard||I heard that {c}|我 听说 {c}
know||everyone knows that {c}|大家 都 知道 {c}
sure||we are sure that {c}|我们 确定 {c}
wrote||{who} wrote in a letter that {c}|{who} 在 信 里 写道 {c}
remember||do you remember that {c}|你 记得 {c} 吗
true||it is true that {c}|{c} 是 真 的
and||{c}, and {d}|{c} ， {d}
but||{c}, but {d}|{c} ， 但是 {d}
""")
