"""The words of the small world, English and Chinese side by side.

Rows are ``english:chinese`` and, for things that are counted, ``english:chinese:measure word``. A slash gives an
irregular plural (``knife/knives``). Everything here was written for this model.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Word:
    """One meaning in both languages. ``zh`` is spaced between words, as all Chinese inside the generator is."""

    en: str
    zh: str


@dataclass(frozen=True, slots=True)
class Noun:
    """Something that can be counted."""

    en: str
    plural: str
    zh: str
    measure: str


@dataclass(frozen=True, slots=True)
class Verb:
    """What people do to ``objects``, in which topic (empty: in none that a classifier should name)."""

    base: str
    third: str
    past: str
    zh: str
    objects: str
    topic: str


def _plural(en: str) -> str:
    head, of, tail = en.partition(" of ")
    if of:
        return _plural(head) + of + tail
    if en.endswith(("s", "x", "ch", "sh")):
        return en + "es"
    if en.endswith("y") and en[-2] not in "aeiou":
        return en[:-1] + "ies"
    return en + "s"


def _words(rows: str) -> tuple[Word, ...]:
    return tuple(Word(*row.strip().split(":")) for row in rows.strip().replace("\n", ",").split(",") if row.strip())


def _nouns(rows: str) -> tuple[Noun, ...]:
    found = []
    for row in rows.strip().replace("\n", ",").split(","):
        if row.strip():
            en, zh, measure = row.strip().split(":")
            one, _, many = en.partition("/")
            found.append(Noun(one, many or _plural(one), zh, measure))
    return tuple(found)


def _verbs(rows: str) -> tuple[Verb, ...]:
    return tuple(Verb(*(part.strip() for part in row.split("|"))) for row in rows.strip().splitlines())


NAMES = _words("""
Anna:安娜,Tom:汤姆,Mary:玛丽,John:约翰,Lily:莉莉,Jack:杰克,Emma:艾玛,David:大卫,Lucy:露西,Peter:彼得,Kate:凯特,Sam:山姆
Alice:爱丽丝,Bob:鲍勃,Helen:海伦,Paul:保罗,Sara:萨拉,Mike:迈克,Nina:尼娜,Leo:里奥,Grace:格蕾丝,Henry:亨利,Julia:朱莉娅
Mark:马克,Linda:琳达,George:乔治,Rose:罗丝,Frank:弗兰克,Eva:伊娃,Oscar:奥斯卡,Clara:克拉拉,Victor:维克多,Diana:黛安娜
Simon:西蒙,Amy:艾米,Ben:本,Ruby:鲁比,Max:马克斯,Ella:埃拉,Adam:亚当,Li Ming:李明,Wang Fang:王芳,Zhang Wei:张伟
Liu Yang:刘洋,Chen Jie:陈洁,Zhao Lei:赵雷,Sun Li:孙丽,Zhou Tao:周涛,Wu Min:吴敏,Xiao Hong:小红,Xiao Gang:小刚,Mei Mei:美美
""")

CITIES = _words("""
Paris:巴黎,London:伦敦,Beijing:北京,Shanghai:上海,Tokyo:东京,Rome:罗马,Berlin:柏林,Madrid:马德里,Vienna:维也纳,Moscow:莫斯科
New York:纽约,Boston:波士顿,Chicago:芝加哥,Sydney:悉尼,Toronto:多伦多,Cairo:开罗,Athens:雅典,Lisbon:里斯本,Dublin:都柏林
Oslo:奥斯陆,Prague:布拉格,Seoul:首尔,Bangkok:曼谷,Delhi:德里,Singapore:新加坡,Guangzhou:广州,Shenzhen:深圳,Hangzhou:杭州
Chengdu:成都,Wuhan:武汉,Nanjing:南京,Suzhou:苏州,Qingdao:青岛,Hong Kong:香港,Geneva:日内瓦,Venice:威尼斯
""")

DAYS = _words("Monday:星期一,Tuesday:星期二,Wednesday:星期三,Thursday:星期四,Friday:星期五,Saturday:星期六,Sunday:星期日")
MONTHS = _words("""
January:一月,February:二月,March:三月,April:四月,May:五月,June:六月,July:七月,August:八月,September:九月,October:十月
November:十一月,December:十二月
""")
SEASONS = _words("spring:春天,summer:夏天,autumn:秋天,winter:冬天")
NUMBERS = _words("""
one:一,two:二,three:三,four:四,five:五,six:六,seven:七,eight:八,nine:九,ten:十,eleven:十一,twelve:十二,thirteen:十三
fourteen:十四,fifteen:十五,sixteen:十六,seventeen:十七,eighteen:十八,nineteen:十九,twenty:二十,thirty:三十,forty:四十
fifty:五十,sixty:六十,seventy:七十,eighty:八十,ninety:九十
""")

FOODS = _nouns("""
apple:苹果:个,banana:香蕉:根,orange:橙子:个,pear:梨:个,peach:桃子:个,lemon:柠檬:个,mango/mangoes:芒果:个,melon:甜瓜:个
tomato/tomatoes:西红柿:个,potato/potatoes:土豆:个,carrot:胡萝卜:根,onion:洋葱:个,egg:鸡蛋:个,cake:蛋糕:块,cookie:饼干:块
sandwich:三明治:个,hamburger:汉堡:个,pizza:披萨:张,dumpling:饺子:个,noodle soup:汤面:碗,pancake:煎饼:张,pie:馅饼:个
sausage:香肠:根,mushroom:蘑菇:个,cucumber:黄瓜:根,bowl of rice:米饭:碗,bowl of soup:汤:碗,plate of fish:鱼肉:盘
plate of beef:牛肉:盘,plate of chicken:鸡肉:盘,piece of bread:面包:片,piece of cheese:奶酪:块,piece of chocolate:巧克力:块
bag of rice:大米:袋,bag of sugar:糖:袋,bag of salt:盐:袋,box of strawberries/boxes of strawberries:草莓:盒,ice cream:冰淇淋:个
salad:沙拉:份,bag of nuts:坚果:袋
""")
DRINKS = _nouns("""
cup of tea:茶:杯,cup of coffee:咖啡:杯,glass of milk:牛奶:杯,glass of water:水:杯,glass of juice:果汁:杯,bottle of beer:啤酒:瓶
bottle of wine:红酒:瓶,bottle of cola:可乐:瓶,cup of hot chocolate:热巧克力:杯,bottle of lemonade:柠檬水:瓶
""")
ANIMALS = _nouns("""
cat:猫:只,dog:狗:只,rabbit:兔子:只,bird:鸟:只,duck:鸭子:只,chicken:鸡:只,pig:猪:头,cow:奶牛:头,horse:马:匹
sheep/sheep:羊:只,goat:山羊:只,monkey:猴子:只,tiger:老虎:只,lion:狮子:头,elephant:大象:头,bear:熊:头,panda:熊猫:只
fox:狐狸:只,wolf/wolves:狼:匹,mouse/mice:老鼠:只,snake:蛇:条,frog:青蛙:只,turtle:乌龟:只,bee:蜜蜂:只,butterfly:蝴蝶:只
parrot:鹦鹉:只,penguin:企鹅:只,goldfish/goldfish:金鱼:条,whale:鲸鱼:条,dolphin:海豚:只,owl:猫头鹰:只,goose/geese:鹅:只
deer/deer:鹿:只,squirrel:松鼠:只,camel:骆驼:头,zebra:斑马:匹
""")
GOODS = _nouns("""
book:书:本,pen:钢笔:支,pencil:铅笔:支,bag:包:个,hat:帽子:顶,coat:大衣:件,shirt:衬衫:件,sweater:毛衣:件,dress:连衣裙:条
skirt:裙子:条,scarf/scarves:围巾:条,pair of shoes:鞋子:双,pair of socks:袜子:双,pair of gloves:手套:双,pair of trousers:裤子:条
umbrella:雨伞:把,watch:手表:块,phone:手机:部,computer:电脑:台,camera:照相机:台,lamp:台灯:盏,chair:椅子:把,table:桌子:张
bed:床:张,cup:杯子:个,plate:盘子:个,knife/knives:刀:把,spoon:勺子:把,box:盒子:个,key:钥匙:把,toy:玩具:个,ball:球:个
bicycle:自行车:辆,car:汽车:辆,map:地图:张,ticket:票:张,newspaper:报纸:份,letter:信:封,photo:照片:张,flower:花:朵
mirror:镜子:面,towel:毛巾:条,clock:钟:个,ring:戒指:枚,basket:篮子:个,backpack:背包:个,blanket:毯子:条,sofa:沙发:张
""")
COLORS = _words("red:红色,blue:蓝色,green:绿色,yellow:黄色,black:黑色,white:白色,brown:棕色,pink:粉色,purple:紫色,grey:灰色")
LOOKS = _words("""
big:大,small:小,new:新,old:旧,red:红色 的,blue:蓝色 的,green:绿色 的,yellow:黄色 的,black:黑色 的,white:白色 的
brown:棕色 的,pink:粉色 的,cheap:便宜 的,expensive:昂贵 的,beautiful:漂亮 的
""")
BEASTLY = _words("big:大,small:小,black:黑色 的,white:白色 的,brown:棕色 的,young:年轻 的,hungry:饥饿 的,lazy:懒惰 的,clever:聪明 的")

PLACES = _words("""
park:公园,market:市场,school:学校,library:图书馆,hospital:医院,station:车站,airport:机场,hotel:酒店,restaurant:餐厅
supermarket:超市,museum:博物馆,bank:银行,post office:邮局,bakery:面包店,cinema:电影院,beach:海滩,zoo:动物园,farm:农场
garden:花园,office:办公室,kitchen:厨房,village:村子,shop:商店,bookshop:书店,cafe:咖啡馆,factory:工厂,square:广场
theatre:剧院,gym:健身房,swimming pool:游泳池,church:教堂,bridge:大桥,lake:湖边,forest:森林
""")
JOBS = _words("""
teacher:老师,doctor:医生,nurse:护士,driver:司机,cook:厨师,farmer:农民,student:学生,singer:歌手,writer:作家,painter:画家
dancer:舞蹈家,engineer:工程师,lawyer:律师,waiter:服务员,pilot:飞行员,police officer:警察,soldier:士兵,baker:面包师
gardener:园丁,actor:演员,scientist:科学家,fisherman:渔夫,tailor:裁缝,dentist:牙医,manager:经理,reporter:记者
""")
RELATIVES = _words("""
mother:妈妈,father:爸爸,brother:哥哥,sister:姐姐,grandmother:奶奶,grandfather:爷爷,uncle:叔叔,aunt:阿姨,son:儿子
daughter:女儿,friend:朋友,neighbour:邻居,boss:老板,cousin:表弟,wife:妻子,husband:丈夫,classmate:同学
""")
MOODS = _words("""
happy:高兴,sad:难过,angry:生气,tired:累,hungry:饿,thirsty:口渴,excited:兴奋,bored:无聊,worried:担心,nervous:紧张
surprised:惊讶,lonely:孤单,proud:骄傲,calm:平静,afraid:害怕,sleepy:困,busy:忙,relaxed:放松,cheerful:开朗,disappointed:失望
""")
WEATHER = _words("""
sunny:晴朗,rainy:多雨,cloudy:多云,windy:多风,snowy:多雪,foggy:多雾,hot:炎热,cold:寒冷,warm:温暖,cool:凉爽,dry:干燥
wet:潮湿,stormy:恶劣,mild:温和
""")
SKIES = _words("rain:下雨,snow:下雪,hail:下冰雹,thunder:打雷")
SPORTS = _words("""
football:足球,basketball:篮球,tennis:网球,table tennis:乒乓球,volleyball:排球,badminton:羽毛球,chess:象棋,golf:高尔夫球
baseball:棒球,hockey:曲棍球
""")
EXERCISES = _words("swim:游泳,run:跑步,ski:滑雪,skate:滑冰,jump:跳高,climb:爬山,row:划船,dance:跳舞,box:拳击,exercise:锻炼")
INSTRUMENTS = _words("piano:钢琴,violin:小提琴,guitar:吉他,flute:长笛,drum:鼓,trumpet:小号,cello:大提琴,harp:竖琴")
SUBJECTS = _words("""
English:英语,Chinese:中文,history:历史,science:科学,art:美术,geography:地理,French:法语,maths:数学,biology:生物
chemistry:化学
""")
VEHICLES = _words("train:火车,bus:公共汽车,plane:飞机,ship:轮船,taxi:出租车,boat:小船,subway:地铁,coach:长途汽车")
ILLNESSES = _words("cold:感冒,cough:咳嗽,fever:发烧,headache:头疼,toothache:牙疼,stomach ache:肚子疼,sore throat:嗓子疼")
FARE = _words("""
milk:牛奶,tea:茶,water:水,coffee:咖啡,juice:果汁,soup:汤,rice:米饭,bread:面包,fish:鱼肉,beef:牛肉,cheese:奶酪,chocolate:巧克力
""")
PET_NAMES = _words("""
Coco:可可,Lucky:幸运,Snowy:雪球,Tiger:虎子,Honey:蜜糖,Pepper:胡椒,Bella:贝拉,Rocky:洛奇,Mimi:咪咪,Dudu:嘟嘟,Happy:开心
Bean:豆豆
""")
DAYTIMES = _words("morning:早上,afternoon:下午,evening:晚上")

VERBS = _verbs("""
buy|buys|bought|买|goods,food|
sell|sells|sold|卖|goods,food|
eat|eats|ate|吃|food|food
cook|cooks|cooked|做|dish|food
drink|drinks|drank|喝|drink|food
taste|tastes|tasted|品尝|dish,drink|food
order|orders|ordered|点|food,drink|food
share|shares|shared|分享|food|food
see|sees|saw|看见|animal,person|
find|finds|found|找到|goods,animal|
lose|loses|lost|弄丢|goods|
bring|brings|brought|带来|goods,food|
carry|carries|carried|搬走|goods|
wash|washes|washed|洗|dish,goods|
draw|draws|drew|画|animal,goods|
clean|cleans|cleaned|擦|goods|
choose|chooses|chose|挑选|goods|shopping
return|returns|returned|退回|goods|shopping
pay for|pays for|paid for|付钱 买|goods|shopping
feed|feeds|fed|喂|animal|animals
catch|catches|caught|抓住|animal|animals
raise|raises|raised|养|animal|animals
chase|chases|chased|追赶|animal|animals
photograph|photographs|photographed|拍摄|animal|
hide|hides|hid|藏起|goods|
borrow|borrows|borrowed|借|goods|
repair|repairs|repaired|修理|goods|
forget|forgets|forgot|忘记|goods|
meet|meets|met|遇见|person|
help|helps|helped|帮助|person|
call|calls|called|打电话 给|person|
thank|thanks|thanked|感谢|person|
invite|invites|invited|邀请|person|
teach|teaches|taught|教|person|school
play|plays|played|打|sport|sports
practise|practises|practised|练习|sport,instrument|
study|studies|studied|学习|subject|school
paint|paints|painted|刷|goods|
open|opens|opened|打开|goods|
photocopy|photocopies|photocopied|复印|paper|work
""")

PAPERS = _nouns("""
report:报告:份,contract:合同:份,bill:账单:张,plan:计划:份,form:表格:张,invitation:邀请函:封,list:清单:份,poem:诗:首
""")
