"""Questions on twenty passages in Chinese, Japanese and Thai, made like NQ-20 and SQuAD-20.

There is no such data in `../shared`. Every passage is about one house (a company, a museum, a
school) and says five things of it in full sentences, mixed with sentences that any house could
have. The question asks one of them in other words. Half of the nineteen other passages are about
houses of the same kind and share the wording of the right passage; none holds the answer.
"""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Language:
    """The building blocks of one language.

    Args:
        names: First parts of the houses' names.
        kinds: Second parts.
        facts: A sentence with {answer}, and a question with {house}.
        answers: Possible answers of each fact; "year" and "count" are numbers.
        fillers: Sentences that say nothing of the house alone.
        join: What stands between sentences.
    """

    names: list[str]
    kinds: list[str]
    facts: list[tuple[str, str]]
    answers: list[list[str]]
    fillers: list[str]
    join: str


CHINESE = Language(
    (
        "青山 长河 东海 明远 华星 天成 北辰 金桥 云峰 瑞丰 "
        "南湖 西岭 永安 和平 新月 春晖 银杏 玉泉 松江 龙门"
    ).split(),
    "电子公司 制药厂 博物馆 师范学校 纺织厂 造船公司".split(),
    [
        ("它正式成立于{answer}年，当时只有十几个人。", "{house}是哪一年创办的？"),
        ("创始人{answer}早年在海外留学，回国后筹集了第一笔资金。", "谁创立了{house}？"),
        ("主楼位于{answer}市中心，附近有一座公园和两条地铁线。", "{house}在哪个城市？"),
        ("目前共有员工{answer}人，其中三分之一从事研究工作。", "{house}有多少名员工？"),
        (
            "最受欢迎的展品和产品都与{answer}有关，每年吸引大量参观者。",
            "{house}最受欢迎的产品与什么有关？",
        ),
    ],
    [
        [],
        (
            "陈文博 李思远 王若兰 赵明德 孙启航 周雅琴 吴建国 郑晓峰 冯玉成 何家栋 许静怡 邓海涛"
        ).split(),
        "昆明 兰州 哈尔滨 厦门 贵阳 南宁 太原 合肥 银川 珠海 洛阳 大连".split(),
        [],
        "青铜器 丝绸 茶叶 陶瓷 钟表 竹编 漆器 剪纸 古琴 木雕 蜡染 玉器".split(),
    ],
    [
        "近年来，随着城市的发展，周边的交通条件有了明显改善。",
        "由于经费有限，许多计划不得不推迟到第二年才开始实施。",
        "当地居民对这里的变化有不同的看法，报纸上也有过讨论。",
        "管理层多次强调质量和安全的重要性，并定期组织培训。",
        "每逢节假日，这里会举办各种活动，吸引来自外地的客人。",
    ],
    "",
)
JAPANESE = Language(
    (
        "青山 長川 東海 明和 星野 天城 北斗 金橋 雲仙 瑞穂 "
        "南湖 西嶺 永安 平和 新月 春日 銀杏 玉川 松江 龍門"
    ).split(),
    "電機株式会社 製薬所 歴史博物館 女子学園 紡績工場 造船所".split(),
    [
        (
            "正式に設立されたのは{answer}年で、当時は十数人しかいなかった。",
            "{house}は何年に創立されましたか。",
        ),
        (
            "創業者の{answer}は若いころ海外に留学し、帰国後に最初の資金を集めた。",
            "{house}を創業したのは誰ですか。",
        ),
        (
            "本館は{answer}市の中心部にあり、近くには公園と二つの駅がある。",
            "{house}はどの都市にありますか。",
        ),
        (
            "現在の職員は{answer}人で、その三分の一が研究に携わっている。",
            "{house}の職員は何人いますか。",
        ),
        (
            "最も人気のある品は{answer}に関するもので、毎年多くの人が訪れる。",
            "{house}で最も人気のある品は何に関するものですか。",
        ),
    ],
    [
        [],
        (
            "田中健一 佐藤美咲 鈴木大輔 高橋直樹 伊藤千夏 渡辺修平 "
            "山本和子 中村達也 小林由美 加藤誠司 吉田春香 松本隆志"
        ).split(),
        "金沢 長崎 仙台 高松 熊本 松山 新潟 岡山 秋田 那覇 盛岡 大分".split(),
        [],
        "青銅器 絹織物 緑茶 陶磁器 時計 竹細工 漆器 切り絵 和琴 木彫り 藍染め 真珠".split(),
    ],
    [
        "近年は町の発展にともない、周辺の交通事情がかなり良くなった。",
        "予算が限られていたため、多くの計画は翌年まで延期された。",
        "地元の住民の意見はさまざまで、新聞でも取り上げられたことがある。",
        "経営陣は品質と安全の大切さを繰り返し強調し、研修を行っている。",
        "休日になるといろいろな催しが開かれ、遠くからも客が集まる。",
    ],
    "",
)
THAI = Language(
    (
        "ดอกบัว แสงดาว ทองคำ ภูผา สายน้ำ จันทรา อรุณ ไพลิน มณี ชัยชนะ รุ่งเรือง "
        "สันติ บูรพา ทักษิณ พนา วารี เมฆา สุริยา นภา กล้วยไม้"
    ).split(),
    ("บริษัท โรงงาน พิพิธภัณฑ์ โรงเรียน วิทยาลัย อู่ต่อเรือ").split(),
    [
        (
            "สถานที่แห่งนี้ก่อตั้งขึ้นในปี {answer} ซึ่งตอนนั้นมีคนเพียงสิบกว่าคน",
            "{house}ก่อตั้งเมื่อปีใด",
        ),
        (
            "ผู้ก่อตั้งคือ{answer}ซึ่งเคยไปเรียนต่างประเทศแล้วกลับมาหาเงินทุนก้อนแรก",
            "ใครเป็นผู้ก่อตั้ง{house}",
        ),
        (
            "อาคารหลักตั้งอยู่ใจกลางเมือง{answer}ใกล้กับสวนสาธารณะและสถานีรถไฟ",
            "{house}ตั้งอยู่ที่เมืองอะไร",
        ),
        (
            "ปัจจุบันมีพนักงานทั้งหมด {answer} คน หนึ่งในสามทำงานด้านการวิจัย",
            "{house}มีพนักงานกี่คน",
        ),
        (
            "สิ่งที่ได้รับความนิยมมากที่สุดเกี่ยวข้องกับ{answer}และมีผู้มาชมทุกปี",
            "สิ่งที่ได้รับความนิยมที่สุดของ{house}เกี่ยวข้องกับอะไร",
        ),
    ],
    [
        [],
        (
            "สมชายใจดี วิภาศรีสุข อนันต์ทองแท้ กมลพรหม ประเสริฐวงศ์ "
            "มาลีรัตน์ ธนากรชัย สุดาพร ชาญวิทย์ นิภาพร วีระพล อรทัย"
        ).split(),
        ("เชียงใหม่ ขอนแก่น ภูเก็ต สงขลา นครราชสีมา อุดรธานี ระยอง ตรัง ลำปาง น่าน สุโขทัย พัทลุง").split(),
        [],
        (
            "ผ้าไหม เครื่องปั้นดินเผา นาฬิกา ชาเขียว เครื่องเขิน ไม้แกะสลัก ไข่มุก "
            "เครื่องเงิน ขิมโบราณ หนังตะลุง ร่มกระดาษ เครื่องทองเหลือง"
        ).split(),
    ],
    [
        "ในช่วงไม่กี่ปีที่ผ่านมาการเดินทางในบริเวณนี้สะดวกขึ้นมากตามการเติบโตของเมือง",
        "เนื่องจากงบประมาณมีจำกัดแผนงานหลายอย่างจึงต้องเลื่อนออกไปเป็นปีถัดไป",
        "ชาวบ้านในพื้นที่มีความเห็นแตกต่างกันและเคยมีการพูดถึงในหนังสือพิมพ์",
        "ฝ่ายบริหารเน้นย้ำเรื่องคุณภาพและความปลอดภัยและจัดอบรมเป็นประจำ",
        "ทุกวันหยุดจะมีกิจกรรมหลากหลายและมีผู้คนจากต่างจังหวัดเดินทางมา",
    ],
    " ",
)
LANGUAGES = {"Chinese": CHINESE, "Japanese": JAPANESE, "Thai": THAI}


def prompts(language: Language, rows: int = 200, seed: int = 0) -> list[dict[str, object]]:
    """Rows like those of `../shared/data/contexts`: question, answers, documents."""
    chance = random.Random(seed)
    return [_prompt(language, chance) for _ in range(rows)]


def _prompt(language: Language, chance: random.Random) -> dict[str, object]:
    kind = chance.choice(language.kinds)
    others = [other for other in language.kinds if other != kind]
    names = chance.sample(language.names, 20)
    thai = language.join == " "
    houses = []
    for number, name in enumerate(names):
        of = kind if number < 11 else chance.choice(others)
        houses.append(f"{of}{name}" if thai else f"{name}{of}")
    asked = chance.randrange(len(language.facts))
    values = [_values(answers, chance) for answers in language.answers]
    answer = values[asked][0]
    documents = []
    for number, house in enumerate(houses):
        sentences = [
            sentence.format(answer=values[fact][0 if number == 0 else 1 + number % 11])
            for fact, (sentence, _) in enumerate(language.facts)
        ]
        sentences += chance.sample(language.fillers, 3)
        chance.shuffle(sentences)
        documents.append({"title": house, "text": language.join.join(sentences)})
    chance.shuffle(documents)
    question = language.facts[asked][1].format(house=houses[0])
    return {"question": question, "answers": [answer], "documents": documents}


def _values(answers: list[str], chance: random.Random) -> list[str]:
    """Twelve different answers, the right one first."""
    if answers:
        return chance.sample(answers, 12)
    return [str(number) for number in chance.sample(range(1801, 2020), 12)]
