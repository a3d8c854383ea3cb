"""What lies beyond the small world: requests, passages, code and sums that pocket must answer with one honest sentence.

All of it is put together here from our own templates, our own words and made-up words; no text of a published set of
prompts is used.
"""

from __future__ import annotations

import random
import string

import world_words as words
from world import Tongue

THINGS = """
photosynthesis,gravity,inflation,the stock market,quantum physics,black holes,democracy,the French Revolution,climate change
blockchain,machine learning,neural networks,the immune system,antibiotics,vaccines,tectonic plates,volcanoes,the solar system
Shakespeare,Beethoven,the Roman Empire,feudalism,capitalism,marketing,a business plan,a cover letter,a resume,a wedding speech
a press release,a legal contract,tax law,insurance,mortgages,a mobile app,a website,a database,a spreadsheet,a regular expression
a linked list,binary search,recursion,a compiler,an operating system,cloud computing,cybersecurity,passwords,encryption,a robot
self-driving cars,electric vehicles,nuclear energy,solar panels,fossil fuels,recycling,deforestation,biodiversity,evolution,genetics
the human brain,memory,dreams,psychology,stress,meditation,yoga,a diet plan,a workout plan,vitamins,calories,protein,allergies
diabetes,surgery,anatomy,the heart,blood pressure,chess openings,poker,the Olympics,the World Cup,a football league,baseball statistics
a novel,a haiku,a sonnet,a limerick,a screenplay,a movie review,a rap song,lyrics,an advertisement,a slogan,a tweet,a blog post
a newsletter,an email to my boss,a complaint letter,an apology,a thank-you note,a speech,a debate,an argument,a thesis,an abstract
a research paper,statistics,probability,calculus,algebra,geometry,a matrix,an equation,prime numbers,logarithms,fractions
the Pythagorean theorem,a proof,logic,philosophy,ethics,Plato,Kant,existentialism,religion,Buddhism,mythology,Zeus,Thor,dragons
aliens,time travel,superheroes,Batman,Sherlock Holmes,Harry Potter,Star Wars,Elon Musk,Albert Einstein,Isaac Newton,Napoleon
Cleopatra,Gandhi,the president,elections,the constitution,human rights,immigration,poverty,education policy,globalisation,trade
currency,bitcoin,startups,venture capital,leadership,teamwork,a job interview,salary negotiation,networking,time management
productivity,public speaking,a presentation,a meeting agenda,a project plan,a marketing strategy,customer feedback,brand names
a logo,typography,architecture,sculpture,impressionism,photography,jazz,opera,hip hop,ballet,fashion,jewellery,perfume,makeup
gardening tips,home repair,plumbing,electricity,carpentry,knitting,origami,camping gear,hiking trails,a travel itinerary,visas
passports,customs,etiquette,a recipe for lasagna,sourdough,wine pairing,cheese making,fermentation,nutrition labels,food safety
grammar,punctuation,synonyms,antonyms,idioms,proverbs,metaphors,etymology,Latin,Spanish verbs,German nouns,pronunciation
Python code,JavaScript,SQL,HTML,a bash script,an API,unit tests,debugging,Git,Docker,Kubernetes,algorithms,big data,a pie chart
satellites,rockets,Mars,the moon landing,asteroids,telescopes,dinosaurs,fossils,the Ice Age,oceans,coral reefs,sharks,bacteria
viruses,chemistry experiments,the periodic table,atoms,lasers,magnets,semiconductors,batteries of the future,3D printing,drones
virtual reality,video games,esports,social media,influencers,privacy,copyright,patents,lawsuits,the supreme court,prisons,police reform
"""
ADJECTIVES = """
professional,formal,persuasive,concise,detailed,creative,technical,scientific,historical,humorous,sarcastic,academic,engaging
compelling,objective,comprehensive,legal,medical,financial,political,abstract,complex,critical,innovative,inclusive,ethical
"""
VERBS = """
write,explain,describe,summarize,analyze,compare,discuss,evaluate,outline,design,create,compose,draft,list,generate,define
illustrate,develop,propose,suggest,give me,provide,brainstorm,review,edit,rewrite,paraphrase,classify,identify,extract,convert
calculate,solve,prove,implement,code,program,recommend,plan,argue,criticize,imagine,predict,rank,verify,correct,improve,expand
"""
OPENINGS = """
write {a} essay about {t}|write a {n}-word article on {t}|explain {t} in simple terms|explain how {t} works|what is {t}
what are the main causes of {t}|who invented {t}|when was {t} discovered|why is {t} important|how does {t} affect {u}
compare {t} and {u}|what is the difference between {t} and {u}|list {n} facts about {t}|give me {n} ideas for {t}
come up with {n} questions about {t}|write a poem about {t}|write a short {a} text about {t}|summarize the history of {t}
describe the relationship between {t} and {u}|discuss the advantages and disadvantages of {t}|is {t} better than {u}
how can I learn {t}|what do experts think about {t}|create a table of {t}|design {t} for a small company|draft {t} for my team
act as a {j} and tell me about {t}|pretend that you are a {j}|imagine you are a {j} and write about {t}|you are an expert in {t}
play the role of a {j}|rewrite the following text in a {a} style|fix the errors in this paragraph|paraphrase the sentence below
translate this paragraph into French|translate the sentence into Spanish|how do you say this in German|translate into Japanese
summarize the following article|summarize the passage in {n} sentences|extract the names from the text below|find the main idea of this paragraph
classify the sentence as {a} or {b}|decide whether the statement is true|what is the tone of this message|answer the question based on the passage
write a function that computes {t}|write a program in Python that sorts a list|write a SQL query that finds {t}|debug this code
what does this code print|convert this code to Java|implement {t} in C++|write a regular expression for {t}|how do I install {t}
solve the equation|what is {n} times {m}|what is the square root of {n}|compute the integral of {t}|find the value of x
if a train travels {n} miles in {m} hours, how fast is it|a store sells {n} items at {m} dollars each, what is the revenue
what is the capital of {c}|who is the president of {c}|what is the population of {c}|what language do they speak in {c}
who wrote {t}|what year did {t} begin|how many people live in {c}|what is the currency of {c}|how far is it from {c} to {d}
give me advice on {t}|what should I consider before buying {t}|help me with {t}|I need {a} help with {t}|teach me about {t}
write an email to my {j} about {t}|write a letter asking for {t}|write a {a} review of {t}|write a product description for {t}
write a story in which {t} meets {u}|write a dialogue between a {j} and a {k}|make a list of {t}|generate a title for {t}
what would happen if {t} did not exist|why do people like {t}|how has {t} changed over time|name {n} famous people known for {t}
what are some {a} ways to use {t}|tell me everything about {t}|what are the steps for {t}|how long does {t} take
give an example of {t}|define {t}|what does the word {p} mean|what is a {p}|who is {p}|where is {p}|tell me about {p}
use the words {p} and {t} in a sentence|make a sentence with {t}|complete the sentence|fill in the blank|put these words in order
choose the correct answer|sort these numbers|which word does not belong|find a synonym for {p}|give me a word that rhymes with {p}
plan a weekly menu for {c}|create a workout plan for a {j}|recommend some {a} books|suggest a gift for my {r}|plan a trip to {c}
how do I cook {t}|give me a recipe for {p}|what should a {j} know about {t}|how can a {j} become {a}|what do {s} eat in the wild
why do {s} sleep so much|how long do {s} live|write a poem about {s}|list {n} kinds of {s}|describe the life of {s}
what is the history of {f}|how are {f} made|how many calories are in {f}|where do {f} come from|write a tagline for {f}
write a tweet about the weather in {c}|how is climate measured in {c}|what is the best restaurant in {c}|who is the mayor of {c}
given a {t}, decide what to do next|given the text, write {n} questions|you will be given {t}, describe it|in this task, you are given {t}
the following is {t}, continue it|suppose that {t} is wrong|do you think that {t} should be banned|do you agree with {t}|what is your opinion on {t}
based on {t}, explain {u}|according to {t}, who is right|from the perspective of a {j}, explain {t}|edit the text so that it is more {a}
turn the following into {t}|change the tense of the sentence|make the following more {a}|can you help me write {t}|could you explain {t} to a child
"""
ENDINGS = """
Use {a} language.|Keep it under {n} words.|Give {n} examples.|Do not mention {t}.|Include {t} and {u}.|Explain your reasoning.
Think step by step.|Use bullet points.|The tone should be {a}.|Write at least {n} paragraphs.|Make it {a} and {b}.|Answer in one sentence.
Start every sentence with the letter {l}.|Return the result as JSON.|Output a number.|My audience is {a}.|Be {a}.|Support your answer with evidence.
Avoid {t}.|Mention your sources.|Format the output as a table.|If you do not know, say so.|Here is the text:|Input:|Text:|Sentence:
"""
COUNTRIES = """
France,Brazil,Canada,Kenya,Norway,Mexico,India,Australia,Poland,Argentina,Vietnam,Nigeria,Turkey,Greece,Iceland,Chile,Morocco
Portugal,Hungary,Peru,Thailand,Ukraine,Ethiopia,Texas,California,Mongolia,Cuba,Switzerland,the United States,Europe,Africa,Tokyo,Paris
"""
COMMON = """
the,of,to,and,in,that,for,with,as,on,at,by,from,which,but,not,are,was,were,has,have,this,these,those,its,their,our,more,most,other
some,such,only,than,then,into,over,after,before,between,because,through,during,without,however,therefore,although,while,when,where
many,first,last,long,own,same,right,high,different,large,next,early,important,few,public,able,people,way,world,life,hand,part,child
eye,woman,place,week,case,point,government,company,number,group,problem,fact,system,program,question,night,water,area,money,month
lot,study,book,word,business,issue,side,kind,head,house,service,power,hour,game,line,end,member,law,car,city,community,president
team,minute,idea,kid,body,information,back,parent,face,others,level,office,door,health,person,art,war,history,party,result,change
reason,research,girl,guy,moment,air,teacher,force,education,provide,include,continue,set,learn,lead,understand,watch,follow,stop,create
speak,allow,add,spend,grow,open,walk,win,offer,remember,consider,appear,serve,expect,build,stay,fall,cut,reach,kill,remain,suggest,raise
"""
CHINESE_THINGS = """
量子力学,光合作用,区块链,人工智能,神经网络,通货膨胀,股票市场,法国大革命,唐朝历史,秦始皇,李白的诗,鲁迅,红楼梦,西游记,长征,宪法,民主制度
气候变化,核能,太阳能板,基因编辑,病毒,疫苗,糖尿病,高血压,心理学,哲学,康德,逻辑学,微积分,线性代数,概率论,质数,方程式,勾股定理,牛顿定律
相对论,黑洞,火箭,卫星,月球探测,恐龙,化石,海洋污染,垃圾分类,碳排放,电动汽车,自动驾驶,芯片制造,操作系统,编译器,数据库,正则表达式,递归算法
二叉树,排序算法,网络安全,密码学,云计算,商业计划书,求职信,简历,合同条款,知识产权,专利申请,税务筹划,保险产品,房贷利率,创业融资,领导力,团队管理
谈判技巧,演讲稿,辩论赛,论文摘要,文献综述,新闻稿,广告文案,短视频脚本,歌词,十四行诗,对联,成语故事,谚语,修辞手法,语法错误,拉丁语,西班牙语
世界杯,奥运会,电子竞技,虚拟现实,社交媒体,隐私保护,人权,移民政策,贫富差距,全球化,国际贸易,比特币,货币政策,印象派,雕塑,建筑设计,摄影构图,爵士乐
"""
CHINESE_OPENINGS = """
写一篇关于{t}的文章|解释{t}|什么是{t}|请详细介绍{t}|{t}和{u}有什么区别|谁发明了{t}|为什么{t}很重要|写一首关于{t}的诗|用Python实现{t}
总结下面的文章|把下面的句子翻译成法语|翻译成日语|列出{n}个关于{t}的要点|帮我写{t}|分析{t}的优缺点|请扮演一位{t}专家|如何学习{t}|{t}的历史是什么
写一个函数计算{t}|解方程|{n}乘以{m}是多少|证明{t}|比较{t}与{u}|给我{n}个关于{t}的建议|{t}的首都是哪里|谁是{t}的作者|改写下面这段话|纠正语法错误
{t}对{u}有什么影响|设计一个{t}方案|评价{t}|推荐几本关于{t}的书|制定一个{t}计划|你怎么看{t}|为{t}写一条广告语|根据{t}回答问题|讨论{t}|什么叫{p}|{p}是谁
"""


def _cut(rows: str, by: str = ",") -> tuple[str, ...]:
    return tuple(part.strip() for part in rows.strip().replace("\n", by).split(by) if part.strip())


_THINGS, _ADJECTIVES, _VERBS, _COUNTRIES, _COMMON = map(_cut, (THINGS, ADJECTIVES, VERBS, COUNTRIES, COMMON))
_OPENINGS, _ENDINGS, _ZH_OPENINGS = (_cut(rows, "|") for rows in (OPENINGS, ENDINGS, CHINESE_OPENINGS))
_ZH_THINGS = _cut(CHINESE_THINGS)
_SYLLABLES = tuple(a + b + c for a in ("", *"bcdfghklmnprstvw", "st", "tr", "pl", "ch", "th") for b in "aeiou" for c in ("", *"nrstlmd", "ck", "ng"))
_HAN = "的一是不了人我在有他这为之大来以个中上们到说国和地也子时道出而要于就下得可你年生自会那后能对着事其里所去行过家十用发天如然作方成者多日都三小军二无同么经法当起与好看学进种将还分此心前面又定见只主没公从"


def made_up_word(rng: random.Random) -> str:
    """A word of no language."""
    return "".join(rng.choice(_SYLLABLES) for _ in range(rng.choice((1, 2, 2, 3, 3, 4))))


def _word(rng: random.Random) -> str:
    pick = rng.random()
    if pick < 0.45:
        return rng.choice(_COMMON)
    if pick < 0.6:
        return rng.choice(rng.choice(_THINGS).split())
    if pick < 0.7:
        return rng.choice(_ADJECTIVES)
    if pick < 0.78:
        return rng.choice(rng.choice((words.FOODS, words.ANIMALS, words.GOODS))).plural
    return made_up_word(rng) + rng.choice(("", "s", "ing", "ed", "tion", "ly", "er"))


def passage(rng: random.Random, sentences: int) -> str:
    """A text that looks like prose and says nothing."""
    found = []
    for _ in range(sentences):
        line = [_word(rng) for _ in range(rng.randint(4, 14))]
        found.append(" ".join(line).capitalize() + rng.choice((".", ".", ".", "?", ";", ":")))
    return " ".join(found)


def code(rng: random.Random) -> str:
    """A few lines that look like a program."""
    a, b, c = (made_up_word(rng) for _ in "abc")
    n = rng.randint(0, 999)
    return rng.choice((
        f"def {a}({b}):\n    return {b} + {n}", f"for {a} in range({n}):\n    print({a})", f"SELECT {a} FROM {b} WHERE {c} > {n};",
        f"int {a}(int {b}) {{\n  return {b} * {n};\n}}", f"const {a} = ({b}) => {b}.{c};", f"<div class=\"{a}\">{b}</div>",
        f"{a} = [{n}, {n + 3}, {n * 2}]", f"import {a}\nprint({a}.{b}({c}))", f"{{\"{a}\": {n}, \"{b}\": \"{c}\"}}",
    ))  # fmt: skip


def _sum(rng: random.Random) -> str:
    n, m, x = rng.randint(2, 999), rng.randint(2, 99), rng.choice("xyzabn")
    return rng.choice((f"{n}{x} + {m} = {n * m}", f"f({x}) = {x}^{m} - {n}{x}", f"{n} * {m} / {m + 3}", f"({n}, {m})", f"{n}.{m}% of {m}{n}"))


def _fill(template: str, rng: random.Random) -> str:
    parts = {
        "t": rng.choice(_THINGS) if rng.random() < 0.75 else f"the {made_up_word(rng)} {rng.choice(_THINGS).split()[-1]}",
        "u": rng.choice(_THINGS), "a": rng.choice(_ADJECTIVES), "b": rng.choice(_ADJECTIVES), "n": rng.randint(2, 500),
        "m": rng.randint(2, 99), "c": rng.choice(_COUNTRIES), "d": rng.choice(_COUNTRIES), "l": rng.choice(string.ascii_uppercase),
        "p": made_up_word(rng), "j": rng.choice(words.JOBS).en, "k": rng.choice(words.JOBS).en, "r": rng.choice(words.RELATIVES).en,
        "s": rng.choice(words.ANIMALS).plural, "f": rng.choice(words.FOODS).plural,
    }  # fmt: skip
    return template.format(**parts)


def _english(rng: random.Random) -> str:
    pick = rng.random()
    if pick < 0.12:
        text = f"{rng.choice(_VERBS)} {' '.join(_word(rng) for _ in range(rng.randint(1, 10)))}"
    elif pick < 0.2:
        text = f"{rng.choice(('what', 'who', 'why', 'how', 'when', 'which', 'where'))} {' '.join(_word(rng) for _ in range(rng.randint(2, 9)))}"
        text += "?"
    else:
        text = _fill(rng.choice(_OPENINGS), rng)
    if rng.random() < 0.85:
        text = text[:1].upper() + text[1:]
    text += rng.choice(("", ".", "?", ".", ":"))
    if rng.random() < 0.35:
        text += " " + _fill(rng.choice(_ENDINGS), rng)
    pick = rng.random()
    gap = rng.choice(("\n", "\n\n", " "))
    if pick < 0.3:
        text += gap + passage(rng, rng.choice((1, 1, 2, 3, 6)))
    elif pick < 0.36:
        text += gap + code(rng)
    elif pick < 0.42:
        text += gap + _sum(rng)
    elif pick < 0.46:
        text += gap + "\n".join(f"{n}. {_word(rng)} {_word(rng)}" for n in range(1, rng.randint(3, 6)))
    elif pick < 0.5:
        text = passage(rng, rng.choice((1, 2, 4))) + gap + text
    return text


def _chinese(rng: random.Random) -> str:
    noise = "".join(rng.choice(_HAN) for _ in range(rng.randint(2, 6)))
    thing = rng.choice(_ZH_THINGS) if rng.random() < 0.8 else noise
    text = rng.choice(_ZH_OPENINGS).format(t=thing, u=rng.choice(_ZH_THINGS), n=rng.randint(2, 99), m=rng.randint(2, 99), p=noise)
    text = rng.choice(("", "", "请", "请你", "帮我")) + text + rng.choice(("", "。", "？", "："))
    if rng.random() < 0.25:
        text += "\n" + "".join(rng.choice(_HAN) for _ in range(rng.randint(8, 40))) + "。"
    return text


def beyond(rng: random.Random, tongue: Tongue) -> str:
    """One request from beyond the world."""
    return _english(rng) if tongue == "en" else _chinese(rng)
