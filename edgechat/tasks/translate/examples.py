"""Example translations that the model sees as earlier turns of the chat, for every pair of languages.

The same sentences exist in every language, so any two languages make a pair. They are worded like a manual, which small
models take up, and each is about a thing that plants and programs hardly have: where its name comes back in an answer,
the answer is not the text's translation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_TELESCOPE = {
    "en": "Please check the telescope before use.",
    "ja": "使用前に望遠鏡を点検してください。",
    "zh": "使用前请检查望远镜。",
    "ko": "사용하기 전에 망원경을 점검하십시오.",
    "de": "Bitte prüfen Sie das Teleskop vor dem Gebrauch.",
    "fr": "Veuillez vérifier le télescope avant l'utilisation.",
    "es": "Compruebe el telescopio antes de usarlo.",
    "it": "Controllare il telescopio prima dell'uso.",
    "pt": "Verifique o telescópio antes de usar.",
    "nl": "Controleer de telescoop voor gebruik.",
    "sv": "Kontrollera teleskopet före användning.",
    "da": "Kontrollér teleskopet før brug.",
    "fi": "Tarkista teleskooppi ennen käyttöä.",
    "pl": "Proszę sprawdzić teleskop przed użyciem.",
    "cs": "Před použitím zkontrolujte teleskop.",
    "tr": "Lütfen kullanmadan önce teleskobu kontrol edin.",
    "vi": "Vui lòng kiểm tra kính thiên văn trước khi sử dụng.",
    "id": "Periksa teleskop sebelum digunakan.",
    "ms": "Sila periksa teleskop sebelum digunakan.",
    "ru": "Перед использованием проверьте телескоп.",
    "uk": "Перед використанням перевірте телескоп.",
    "el": "Ελέγξτε το τηλεσκόπιο πριν από τη χρήση.",
    "ar": "يرجى فحص التلسكوب قبل الاستخدام.",
    "fa": "لطفاً تلسکوپ را پیش از استفاده بررسی کنید.",
    "he": "בדקו את הטלסקופ לפני השימוש.",
    "th": "กรุณาตรวจสอบกล้องโทรทรรศน์ก่อนใช้งาน",
    "hi": "कृपया उपयोग से पहले दूरबीन की जाँच करें।",
}
_BREAD = {
    "en": "The bread machine stopped after 7 minutes because the lid was open.",
    "ja": "ふたが開いていたため、パン焼き機は7分後に停止しました。",
    "zh": "因为盖子开着，面包机在7分钟后停止了。",
    "ko": "뚜껑이 열려 있어서 제빵기가 7분 후에 멈췄습니다.",
    "de": "Der Brotbackautomat blieb nach 7 Minuten stehen, weil der Deckel offen war.",
    "fr": "La machine à pain s'est arrêtée après 7 minutes parce que le couvercle était ouvert.",
    "es": "La panificadora se detuvo después de 7 minutos porque la tapa estaba abierta.",
    "it": "La macchina del pane si è fermata dopo 7 minuti perché il coperchio era aperto.",
    "pt": "A máquina de pão parou após 7 minutos porque a tampa estava aberta.",
    "nl": "De broodmachine stopte na 7 minuten omdat het deksel open was.",
    "sv": "Bakmaskinen stannade efter 7 minuter eftersom locket var öppet.",
    "da": "Bagemaskinen stoppede efter 7 minutter, fordi låget var åbent.",
    "fi": "Leipäkone pysähtyi 7 minuutin kuluttua, koska kansi oli auki.",
    "pl": "Wypiekacz do chleba zatrzymał się po 7 minutach, ponieważ pokrywa była otwarta.",
    "cs": "Domácí pekárna se po 7 minutách zastavila, protože víko bylo otevřené.",
    "tr": "Kapak açık olduğu için ekmek makinesi 7 dakika sonra durdu.",
    "vi": "Máy làm bánh mì dừng lại sau 7 phút vì nắp đang mở.",
    "id": "Mesin roti berhenti setelah 7 menit karena tutupnya terbuka.",
    "ms": "Mesin roti berhenti selepas 7 minit kerana penutupnya terbuka.",
    "ru": "Хлебопечка остановилась через 7 минут, потому что крышка была открыта.",
    "uk": "Хлібопічка зупинилася через 7 хвилин, бо кришка була відкрита.",
    "el": "Ο αρτοπαρασκευαστής σταμάτησε μετά από 7 λεπτά επειδή το καπάκι ήταν ανοιχτό.",
    "ar": "توقفت آلة الخبز بعد 7 دقائق لأن الغطاء كان مفتوحًا.",
    "fa": "دستگاه نان\u200cپز پس از 7 دقیقه متوقف شد چون درپوش باز بود.",
    "he": "מכונת הלחם נעצרה אחרי 7 דקות כי המכסה היה פתוח.",
    "th": "เครื่องทำขนมปังหยุดหลังจาก 7 นาทีเพราะฝาเปิดอยู่",
    "hi": "ढक्कन खुला होने के कारण ब्रेड मशीन 7 मिनट बाद रुक गई।",
}
_EXAMPLES: tuple[Mapping[str, str], ...] = (_TELESCOPE, _BREAD)

_RARE = (
    ("telescop", "télescop", "telesco", "teleskop", "望遠鏡", "望远镜", "망원경", "телескоп", "τηλεσκόπ", "تلسكوب"),
    ("bread machine", "brotback", "machine à pain", "panificadora", "macchina del pane", "パン焼き", "面包机", "제빵"),
)
"""Words of the examples in lower case, one group for each, that texts of a plant or of a program hardly contain."""


def examples(source: str, target: str) -> tuple[tuple[str, str], ...]:
    """The examples in both languages; none when the language of the text is not known."""
    return tuple((each[source], each[target]) for each in _EXAMPLES if source in each and target in each)


def repeats_example(answer: str, source: str) -> bool:
    """Whether ``answer`` has a rare word of an example, though ``source`` has none of that group."""
    said, given = answer.casefold(), source.casefold()
    return any(any(word in said for word in words) and not any(word in given for word in words) for words in _RARE)
