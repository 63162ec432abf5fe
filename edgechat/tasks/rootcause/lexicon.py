"""Words that point to a category of cause, and words by which a note reports trouble, in English, Japanese and Chinese.

The words are those of maintenance books, shift reports and 8D forms. They decide the category where the model is too
small to do so, and which notes can be a cause at all.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgechat.tasks.rootcause.quantity import plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgechat.tasks.rootcause.result import Category

# Each entry: weight, pattern. 3: nearly only this category. 2: mostly. 1: a hint that stronger words outweigh.
_WORDS: dict[Category, tuple[tuple[float, str], ...]] = {
    "measurement": (
        (
            3,
            (
                r"\b(?:re-?)?calibrat\w*|\b(?:gauges?|gages?|caliper|callipers?|micrometer|cmm|measuring (?:machine"
                r"|device|arm)|test rig|test bench"
                r"|reference (?:leak|part|sphere|weight|standard)|master (?:part|ring|gauge)|zero (?:error|point"
                r"|offset|drift)|msa|gr&r|false (?:reject|alarm)s?"
                r"|stylus|probe tip|qualif(?:y|ied|ication) (?:again|of the probe)|reads? (?:too )?(?:high|low|wrong)"
                r"|load cell|ref leak|measurement (?:system|error)"
                r"|measured (?:again|twice)|re-?measur\w+|shows? the same parts|same parts? (?:pass|measure)\w*)\b"
                r"|校正|ゲージ|ノギス|マイクロメータ|測定機|測定器|測定者|三次元測定|基準球|基準器|マスター(?:ワーク"
                r"|リング|ゲージ)|トルク計|計測器|零点|ゼロ点|再測定|検査機|検査装置|プローブ|誤判定|過検出"
                r"|检定|校准|标准漏孔|标准件|量具|量规|卡尺|千分尺|测量仪|三坐标|探头|零点|检漏仪|误判|复测|重新测量"
                r"|基准球|测头|计量|仪表"
            ),
        ),
        (
            2,
            (
                r"\b(?:probe|sensor (?:drift|offset|error)|scale|vision system|inspection camera|lens of the camera"
                r"|camera)\b|測定|計測|検査カメラ|测量|传感器漂移|相机|镜头"
            ),
        ),
        (1, r"\b(?:sensor|inspection)\b|センサ|检测|传感器"),
    ),
    "environment": (
        (
            3,
            (
                r"\b(?:humid\w*|dehumidif\w*|air[- ]?condition\w*|clean ?room|(?:hall|room|ambient|shop floor|outside"
                r"|outdoor|workshop) (?:temperature|air|humidity)"
                r"|hall|weather|heat ?wave|frost|thunderstorm|storm|rain(?:ed|ing|water)?|flood\w*|sun(?:light|shine)?"
                r"|(?:the )?sun shines|skylight|draught|draft|particle count|dust\w*"
                r"|pollen|condensation|(?:construction|building) (?:work|site)|salt (?:spray|air)|earthquake"
                r"|typhoon|dew|winter"
                r"|summer|yard|roller door|(?:door|gate|window|shutter)s? .{0,24}open"
                r"|ventilation|hvac|ionis\w+|esd (?:floor|level)|electrostatic|lightning|voltage dip|power (?:failure"
                r"|outage|dip)|vibration from outside)\b"
                r"|湿度|除湿|加湿|梅雨|台風|空調|室温|気温|外気|工場内|クリーンルーム|結露|シャッター|塵|ほこり|埃"
                r"|粉塵|花粉|日光|直射|西日|冬|夏|雨|雪|落雷|停電|瞬低|静電気|隣の工事|換気|庫内"
                r"|湿度|除湿|加湿|空调|室温|车间(?:温度|湿度|内)|环境温度|洁净室|盐雾|窗|大门|卷帘门.{0,6}开|粉尘|灰尘"
                r"|雨|雪|台风|雷|停电|潮湿|返潮|梅雨|冬|夏|阳光|暴晒|静电|结露|通风|海边|施工|震动传"
            ),
        ),
        (1, r"\b(?:weekend|temperature drift)\b|換気|清掃中"),
    ),
    "material": (
        (
            3,
            (
                r"\b(?:supplier|raw material|batch|lots?|resin|granul\w+|pellets?|regrind|recycled|recyclate|shelf "
                r"life|use[- ]by|expir\w+|expiry|best before|alloy|coils?"
                r"|material|certificates?|mill cert\w*|data ?sheet of the material|melt (?:flow|index)|mfi|viscosity"
                r"|paste jar|jar|drum|octabin|paint|adhesive|glue|sealant|primer"
                r"|incoming (?:goods|inspection)|hardness of the|elongation|tensile strength|impurit\w+|contaminated "
                r"(?:oil|powder|resin)|castings?|blanks?|billets?|bar stock"
                r"|moisture(?: content)?|solder paste|flux|powder|compound|mooney|composition|chemical analysis"
                r"|thickness of the sheet|sheet thickness|new brand)\b"
                r"|原料|材料|素材|ロット|樹脂|ペレット|再生材|接着剤|塗料|粘度|有効期限|使用期限|期限(?:切れ|を過ぎ)"
                r"|開封後|成績書|ミルシート|板厚|コイル|鋼材|合金|仕入|納入|サプライヤ|受入|はんだペースト|粉末|含水率"
                r"|吸湿|成分|異材|母材|鋳物|メーカーを?変|ムーニー"
                r"|来料|原料|材料|原材料|供应商|批次|批号|这批|该批|回收料|再生料|熔指|锡膏|过期|有效期|保质期|开封"
                r"|胶水|胶粘剂|油漆|涂料|黏度|粘度|板厚|卷料|钢材|合金|成分|材质|含水|受潮|质保书|合格证|毛坯|铸件"
                r"|牌号|杂质|混料"
            ),
        ),
        (1, r"\b(?:steel|sheet|rubber|gasket|delivered|delivery|labelled|oil)\b|ゴム|鋼|油|橡胶|钢|油"),
    ),
    "man": (
        (
            3,
            (
                r"\b(?:forgot\w*|forget|by mistake|mistakenly|from memory|distract\w*|called away|inattentive"
                r"|careless\w*|trainee|untrained|inexperienced|first day"
                r"|new (?:operator|worker|employee|colleague)|temp(?:orary)? worker|agency worker|misread|mix(?:ed)? "
                r"up|confus\w+|overlooked|by hand although|ignor(?:ed|ing)"
                r"|although the (?:screen|display|instruction|label)|(?:operator|worker|setter|technician|fitter"
                r"|inspector|driver|colleague|shift leader|he|she) \w*\s?(?:loaded|plugged|put|placed|mounted|took"
                r"|used|set|pressed|entered|typed|acknowledged|left"
                r"|inserted|swapped|turned|overrode|bypassed|switched|did not|skipped|selected|picked|fitted|installed"
                r"|missed|closed|opened)"
                r"|without (?:refilling|looking|checking|asking|wearing)|wrong (?:button|program|order|part|bin|label"
                r"|side) (?:was )?(?:chosen|pressed|loaded|taken|picked)|tired|in a hurry|acknowledged by user"
                r"|overridden by user"
                r"|typed|keyed in|keystroke|talking|phone call|telephone)\b"
                r"|忘れ|見落と|見間違|取り違|取違|間違え|間違って|誤って|うっかり|思い込|勘違い|持ち場を離れ|新人"
                r"|未経験|不慣れ|教育を受けて|経験が?浅|派遣|押し間違|入れ間違|入力を?誤|焦って|疲れ|電話に出|私語"
                r"|確認せず|確認を怠|締め忘れ|付け忘れ|付け間違"
                r"|忘记|忘了|漏装|漏拧|漏放|漏打|分心|疏忽|看错|弄错|拿错|装错|放错|装反|按错|输错|粗心|误操作|误按"
                r"|误把|新员工|新来|没有经验|未经培训|未培训|临时工|离岗|凭记忆|凭经验|着急|疲劳|打电话|聊天|擅自"
            ),
        ),
        (
            2,
            (
                r"\b(?:operators?|workers?|setters?|employee|personnel|staff|acknowledged|overridden|key switch|user "
                r"[0-9]+)\b|作業者|作業員|担当者|オペレータ|オペレーター|検査員|解除キー|操作员|工人|员工|作业员"
                r"|操作工|班组长|检验员"
            ),
        ),
        (1, r"\b(?:shift|person|colleague)\b|夜勤|班|本人|夜班"),
    ),
    "method": (
        (
            3,
            (
                r"\b(?:work instructions?|instruction (?:rev|says|gives|asks|sheet)|procedures?|control plan|process "
                r"(?:plan|sheet|description|step|parameters?)|specified in the plan|standard operating|sop"
                r"|rev(?:ision)? [0-9a-z]\b|revised|sequence|order of (?:the )?steps|steps? (?:was|were)? ?(?:skipped"
                r"|left out|omitted|removed)|skipped|omitted|left out|not (?:handed out|described|defined|foreseen"
                r"|specified|required|documented)"
                r"|recipe|instead of [0-9]|check ?list|drawing (?:rev|change|index)|cleaning interval|maintenance "
                r"interval|intervals?|new (?:process|method|routine|instruction)|method|never (?:defined|updated"
                r"|released)|outdated|still (?:says|asks|gives|shows)|data sheet|standard says|norm)\b"
                r"|手順|作業標準|標準書|作業要領|工程が省|工程を省|省略|順序|改訂|改定|作業指示|指示書|規定されて"
                r"|決められて|定められて|記載(?:が|されて)|書かれて|飛ばし|条件表|条件書|管理計画|QC工程|レシピ"
                r"|基準がな|清掃頻度|周期|方法|やり方|図面変更"
                r"|作业指导书|指导书|工艺(?:卡|文件|规程|参数|路线|单)|规程|规范|步骤|顺序|工序|省略|跳过|省去|取消了"
                r"|未规定|没有规定|未写|没写|修订|改版|版本|配方|控制计划|检查表|方法|周期|间隔|要求.{0,12}而|标准规定"
            ),
        ),
        (
            1,
            (
                r"\b(?:instead of|parameter|setpoint changed|customer specification|program(?:me)?|counts? "
                r".{0,8}specification)\b|代わりに|設定変更|プログラム|规定|改为|程序"
            ),
        ),
    ),
    "machine": (
        (
            2.5,
            (
                r"\b(?:bearings?|spindle|motor|heaters?|heating (?:element|cartridge|zone|rod)|thermocouple|pumps?"
                r"|valves?|gripper|nozzles?|hydraulic\w*|pneumatic\w*|cylinder|servo\w*|drive|encoder|gear ?box|belt "
                r"(?:worn|torn|slipp\w+|slack)|worn|wear|worn[- ]out"
                r"|grinding noise|noise|rattl\w+|vibrat\w+|backlash|chipped|breakage|tool (?:wear|life|broke|broken"
                r"|breakage)|drill|cutter|insert (?:broken|worn)|punch|die|mould|mold|check ring|clog\w*|blocked "
                r"(?:filter|nozzle)|filter|leak(?:s|ed|ing)? (?:oil|air|of)|oil leak|hose|fuse|breaker|contactor|relay"
                r"|plc|controller|e-?stop"
                r"|dresser|feeder|fixture (?:loose|worn|bent|screw)|clamp(?:ing)? (?:force|pressure|jaw)|chuck"
                r"|coupling|fan|compressor|electrode|tip dress|spring broke\w*|jammed|tripping|tripped|malfunction\w*"
                r"|stuck|defective|out of order|robot|press|furnace|oven|chiller|cooling circuit|vacuum pump|torque "
                r"(?:tool|wrench|bolt|screw)|screwdriver spindle|loose (?:bolt|screw|belt|clamp))\b"
                r"|主軸|スピンドル|ベアリング|軸受|モータ|ヒータ|熱電対|ポンプ|バルブ|弁|ノズル|油圧|空圧|シリンダ"
                r"|サーボ|エンコーダ|異音|摩耗|ガタ|がた|欠けて|折れ|断線|目詰まり|詰まり|フィルタ|油漏れ|ホース|電磁"
                r"|故障|装置|設備|機械|金型(?:の|が)|刃物|工具|パンチ|ダイ|チャック|クランプ|ばね|冷却水|コンプレッサ"
                r"|電極|吸着|フィーダー|ヘッド|搬送|ベルトが|治具が|緩み|ゆるみ|振動"
                r"|主轴|轴承|电机|马达|加热(?:管|棒|丝|器|圈)|热电偶|泵|阀|喷嘴|吸嘴|液压|气缸|伺服|编码器|异响|磨损"
                r"|松动|断裂|坏了|烧坏|断线|堵|过滤|滤芯|漏油|漏气|油管|继电器|设备|机器|模具|刀具|刀片|冲头|卡盘|夹具"
                r"|弹簧断|冷却|压缩机|电极|送料|机械手|皮带|振动|故障"
            ),
        ),
        (
            2,
            (
                r"\b(?:flow|pressure|force|temperature|current|voltage|speed|torque|zone|level|position)\b|温度|圧力"
                r"|電流|電圧|トルク|流量|速度|力|温度|压力|电流|电压|扭矩|流量|速度"
            ),
        ),
    ),
}
_PATTERNS: dict[Category, tuple[tuple[float, re.Pattern[str]], ...]] = {
    category: tuple((weight, re.compile(words, re.IGNORECASE)) for weight, words in groups)
    for category, groups in _WORDS.items()
}
_MAX_HITS = 3
"""Number of different words of one group that count in one text; a long note does not outweigh a clear one."""

# Trouble that a note reports: something did not happen, is wrong, damaged, missing, changed or overdue.
_TROUBLE = re.compile(
    (
        r"\b(?:not|never|no longer|without|instead of|although|skipped|omitted|missing|miss(?:ed)?|wrong\w*"
        r"|forg[eo]t\w*|mistake\w*|fail\w*|broke\w*|broken|damag\w+|worn|wear|leak\w*|clog\w*|dirty|chips?"
        r"|contaminat\w*"
        r"|expir\w+|use[- ]by|overdue|past|too (?:\w+)|noise|noisy|vibrat\w*|crack\w*|torn|wet|loose|stuck"
        r"|jam\w*|tripp\w+|ran empty|empty|bypass\w*|overrid\w+|bumped|dropped|distract\w*|called away|from "
        r"memory|trainee|temporary"
        r"|first day|new (?:\w+ )?(?:supplier|brand|lot|batch|operator|instruction|process|method|worker|resin"
        r"|program)|changed|switched|replaced|swapped|moved|off over|was off|stood open|open|opened|unpacked"
        r"|recycled|regrind|mix(?:ed)?|confus\w*"
        r"|still (?:says|asks|gives|shows)|shows? [0-9.,]+|outdated|defect\w*|fault\w*|malfunction\w*|abnormal"
        r"|strange|smell\w*|smoke|hot|cold|humid\w*|flood\w*|storm|rain\w*|sun|dust\w*|shortage|only|below"
        r"|above|exceed\w*|high|low|drift\w*|unstable|interrupt\w*|stopp?ed|shut down|power failure|repair\w*"
        r"|blocked|kept [0-9]+ days|same parts?)\b"
        r"|ない|なかった|ず(?:に|、|。)|なく(?!な)|忘れ|省略|省かれ|飛ばし|間違|誤|見落と|取り違|異音|異臭"
        r"|故障|破損|損傷|欠け|割れ|折れ|断線|摩耗|漏れ|詰ま|汚れ|切粉|付着|混入|緩|ゆる|ずれ|切れ|過ぎ|超過"
        r"|未|不足|不良|止まり|停止|停電|変更|切り替え|交換|替え|新しい|改訂|開いたまま|開け|開封後|湿|濡|結露"
        r"|冷え|高温|低温|台風|梅雨|雨|直射|隣|代わり|離れ|不慣れ|新人|同じ(?:品物|部品|製品)|に対し|警報|多く"
        r"|少な"
        r"|没有|没|未|忘|漏|错|误|坏|断|裂|破|磨损|松动|异响|异味|堵|脏|混|掺|过期|超过|超|缺|少了|不足|不一致"
        r"|不符|不良|异常|故障|停机|停电|停了|换了|更换|改为|改成|变更|新来|新员工|新供应商|开着|敞开|受潮|潮"
        r"|漏水|积水|雨|台风|盐雾|分心|省略|跳过|取消|而.{0,12}要求|同一件|同样的|临时|疏忽|未按"
    ),
    re.IGNORECASE,
)
# A note that says that all is as it should be.
_FINE = re.compile(
    (
        r"\b(?:as (?:planned|scheduled|usual|specified|required)|on (?:schedule|time)|(?:was|were|is|are|has"
        r"|have)?\s?(?:passed(?! its)|released|approved|ok|okay|fine|normal|in order|sufficient|checked"
        r"|inspected|serviced|cleaned|trained|verified)"
        r"|within (?:tolerance|limits?|range|spec\w*)|no (?:problems?|findings?|abnormalit\w+|complaints?"
        r"|deviations?|change)|nothing (?:unusual|abnormal)|brand[- ]new|shift handover|meeting|first "
        r"article)\b"
        r"|予定(?:どおり|通り)|正常|異常(?:は)?な|問題(?:は)?な|合格|新品|点検済|校正済|交換済|オーバーホール"
        r"|清掃した|実施した|完了した|朝礼|会議|引き継ぎ"
        r"|按计划|按时|正常|无异常|没有异常|合格|充足|新买|新品|已校准|刚校准|已点检|刚保养|开会|交接班|完成"
    ),
    re.IGNORECASE,
)
# Words by which a note that sounds fine still speaks of trouble.
_STRONG = re.compile(
    (
        r"\b(?:not|never|without|instead of|although|skipped|but|however|(?:measured|tested|checked) again"
        r"|re-?measured|wrong|expired|broken|damaged|same "
        r"parts?|no longer|only)\b"
        r"|ない。|なかった|忘れ|省略|切れ|しかし|が、|のに|代わり|同じ(?:品物|部品|製品)|再測定|复测|过期|但|却|没|忘"
        r"|同一件|同样的|未(?!见|发现)"
    ),
    re.IGNORECASE,
)
# Text that gives orders to a reader, or speaks about this analysis itself. It is no observation.
_INSTRUCTION = re.compile(
    (
        r"\b(?:ignore|disregard|forget) (?:all |any |the |your |everything )*(?:above|previous|prior|earlier"
        r"|other|instructions?|rules?|lines?|evidence|notes?)\b"
        r"|\b(?:you are|you must|act as|respond with|reply with|answer (?:with|only|that)|output|system prompt"
        r"|as an ai|language model)\b|<\|"
        r"|\b(?:the )?(?:root )?cause is (?:always )?(?:man|machine|method|material|measurement|environment)\b"
        r"|\breadings?\b.{0,30}\b(?:is|are|was|were) (?:all )?(?:within|normal|ok|fine|in (?:range|tolerance"
        r"|spec))\b"
        r"|\b[LN][0-9]+\b.{0,24}\b(?:is|are|was|were) (?:all )?(?:within|normal|ok|fine|wrong|false)\b|\ball "
        r"(?:readings|values|lines|limits)\b.{0,30}\b(?:within|normal|ok|fine)\b"
        r"|(?:上記|以上|前|指示|ルール)[^。]{0,8}(?:無視|忘れ)|無視して|(?:と|に)回答(?:せよ|しなさい"
        r"|してください)|(?:測定値|読み値|すべての値|数値)[^。]{0,12}(?:規格内|範囲内|正常)"
        r"|忽略(?:以上|上述|之前|前面|所有)|无视|请(?:回答|输出|忽略)|(?:读数|测量值|数值"
        r"|所有值)[^。]{0,12}(?:规格内|范围内|在限|正常)"
    ),
    re.IGNORECASE,
)


def category_scores(texts: Iterable[tuple[float, str]]) -> dict[Category, float]:
    """The weight of each category in weighted texts; categories without a word are left out."""
    scores: dict[Category, float] = {}
    for factor, text in texts:
        plain_text = plain(text)
        for category, groups in _PATTERNS.items():
            for weight, pattern in groups:
                hits = {match[0].casefold() for match in pattern.finditer(plain_text)}
                if hits:
                    scores[category] = scores.get(category, 0.0) + factor * weight * (
                        1 + 0.5 * (min(len(hits), _MAX_HITS) - 1)
                    )
    return scores


def best_category(scores: dict[Category, float]) -> tuple[Category, float]:
    """The heaviest category and its lead over the next; ``unknown`` when there is none or two are equal."""
    ranked = sorted(scores.items(), key=lambda item: (-item[1], _ORDER.index(item[0])))
    if not ranked:
        return "unknown", 0.0
    lead = ranked[0][1] - (ranked[1][1] if len(ranked) > 1 else 0.0)
    return ranked[0][0], lead


# The first of equals wins: words for machines stand in nearly every record, words for measurement in few.
_ORDER: tuple[Category, ...] = ("measurement", "method", "man", "material", "environment", "machine", "unknown")


def looks_like_instruction(text: str) -> bool:
    """True for a text that gives orders or passes a verdict on readings: it is shown, never used as evidence."""
    return bool(_INSTRUCTION.search(plain(text)))


def reports_trouble(text: str) -> bool:
    """True when a note reports something that can be a cause."""
    text = plain(text)
    if looks_like_instruction(text):
        return False
    return bool(_STRONG.search(text)) or (bool(_TROUBLE.search(text)) and not _FINE.search(text))


def sounds_fine(text: str) -> bool:
    """True when a note says that all is as it should be."""
    text = plain(text)
    return bool(_FINE.search(text)) and not _STRONG.search(text)
