"""The fixed texts of the driving task in three languages."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgechat.tasks.driving.countermeasures import Code
    from edgechat.tasks.driving.risk import Assessment, Level
    from edgechat.tasks.driving.scene import Assumption
    from edgechat.tasks.language import Language, Translations

NOTICE: Translations = {
    "en": "Not a certified safety system. The driver stays responsible.",
    "ja": "本機能は認証された安全装置ではありません。運転の責任は運転者にあります。",
    "zh": "本功能不是经过认证的安全系统。驾驶责任由驾驶员承担。",
}

COUNTERMEASURES: dict[Code, Translations] = {
    "brake_fully": {
        "en": "Brake fully now; braking alone may not be enough, so look for a free path.",
        "ja": "直ちに全力で制動してください。制動だけでは間に合わない恐れがあり、回避できる空間も確認してください。",
        "zh": "立即全力制动；仅靠制动可能来不及，请同时寻找可避让的空间。",
    },
    "brake_now": {
        "en": "Brake now, firmly and early.",
        "ja": "直ちに早めかつ確実にブレーキをかけてください。",
        "zh": "立即提前并稳定地制动。",
    },
    "increase_gap": {
        "en": "Ease off the accelerator and increase the following distance.",
        "ja": "アクセルを戻し、車間距離を広げてください。",
        "zh": "松开油门，加大跟车距离。",
    },
    "return_to_lane_center": {
        "en": "Steer gently back to the middle of the lane.",
        "ja": "緩やかなハンドル操作で車線の中央に戻ってください。",
        "zh": "轻柔转向，回到车道中央。",
    },
    "slow_down_slippery": {
        "en": "The road is slippery: slow down, braking takes longer.",
        "ja": "路面が滑りやすくなっています。制動距離が伸びるため、速度を落としてください。",
        "zh": "路面湿滑，制动距离变长，请减速。",
    },
    "no_sudden_inputs": {
        "en": "Avoid sudden steering, braking and acceleration.",
        "ja": "急ハンドル、急ブレーキ、急加速を避けてください。",
        "zh": "避免急转向、急制动和急加速。",
    },
    "lights_on": {
        "en": "Sight is reduced: switch on the lights suited to it.",
        "ja": "視界が悪くなっています。状況に合った灯火を点けてください。",
        "zh": "视线不佳，请开启相应的车灯。",
    },
    "watch_ahead": {
        "en": "How fast the gap closes is unknown: watch the road ahead.",
        "ja": "前方車両との接近速度が不明です。前方をよく確認してください。",
        "zh": "与前车的接近速度未知，请注意观察前方。",
    },
    "keep_observing": {
        "en": "Keep observing; nothing calls for action at this moment.",
        "ja": "引き続き注意してください。現時点で必要な操作はありません。",
        "zh": "请继续观察，目前无需采取措施。",
    },
}

ASSUMPTIONS: dict[Assumption, Translations] = {
    "no_lead_reported": {
        "en": "No vehicle ahead was reported; that none is there is not known.",
        "ja": "前方車両は報告されていません。存在しないことが確認されたわけではありません。",
        "zh": "未报告前车，但不能确认前方没有车辆。",
    },
    "distance_held": {
        "en": "No distance now; the newest one of the history was kept.",
        "ja": "現在の車間距離がないため、履歴の最新値を用いました。",
        "zh": "当前没有车距，使用了历史中的最新值。",
    },
    "closing_unknown": {
        "en": "The closing speed is unknown: only the gap was judged.",
        "ja": "接近速度が不明なため、車間距離だけで評価しました。",
        "zh": "接近速度未知，仅依据车距评估。",
    },
    "history_assumed_current": {
        "en": "The record has no t_s: its history was taken to end now.",
        "ja": "t_s がないため、履歴の最後を現在とみなしました。",
        "zh": "记录没有 t_s，将历史的末尾视为当前时刻。",
    },
    "history_stale": {
        "en": "The history ended more than 0.5 s ago and was not used.",
        "ja": "履歴が0.5秒より古いため使用しませんでした。",
        "zh": "历史已超过0.5秒，未使用。",
    },
    "history_gap": {
        "en": "The history has a gap of more than 0.5 s.",
        "ja": "履歴に0.5秒を超える途切れがあります。",
        "zh": "历史中有超过0.5秒的中断。",
    },
    "target_changed": {
        "en": "Another vehicle is ahead now; only its own frames were used.",
        "ja": "前方車両が入れ替わったため、現在の車両の履歴だけを用いました。",
        "zh": "前车已更换，仅使用当前车辆的历史。",
    },
    "low_confidence": {
        "en": "The closing speed from the history is uncertain.",
        "ja": "履歴から求めた接近速度は不確かです。",
        "zh": "由历史得出的接近速度不确定。",
    },
    "sources_disagree": {
        "en": "lead_speed_kmh and the history disagree; the faster closing was used.",
        "ja": "lead_speed_kmh と履歴が食い違うため、接近が速い方を用いました。",
        "zh": "lead_speed_kmh 与历史不一致，采用了接近更快的值。",
    },
    "lane_width_default": {
        "en": "Lane width taken as 3.5 m.",
        "ja": "車線幅を3.5 mとしました。",
        "zh": "车道宽度取3.5 m。",
    },
    "vehicle_width_default": {
        "en": "Vehicle width taken as 1.8 m.",
        "ja": "車幅を1.8 mとしました。",
        "zh": "车宽取1.8 m。",
    },
    "friction_from_weather": {
        "en": "Road friction was taken from the weather, not measured.",
        "ja": "路面摩擦は天候からの推定で、測定値ではありません。",
        "zh": "路面摩擦由天气推定，并非实测。",
    },
    "reaction_from_light": {
        "en": "A longer reaction time was assumed for darkness or poor sight.",
        "ja": "暗さや視界不良のため、反応時間を長く見積もりました。",
        "zh": "因昏暗或视线不佳，采用了更长的反应时间。",
    },
    "uncalibrated": {
        "en": "The scale of the risk is not calibrated against accidents.",
        "ja": "リスクの尺度は事故データで校正されていません。",
        "zh": "风险尺度未经事故数据校准。",
    },
}

LEVELS: dict[Level, Translations] = {
    "low": {"en": "low", "ja": "低", "zh": "低"},
    "moderate": {"en": "moderate", "ja": "中", "zh": "中"},
    "high": {"en": "high", "ja": "高", "zh": "高"},
    "critical": {"en": "critical", "ja": "重大", "zh": "严重"},
}

_REASONS: dict[str, Translations] = {
    "gap": {
        "en": "The gap of {gap} m is short of the {wanted} m recommended here.",
        "ja": "車間距離{gap} mは、この条件での推奨{wanted} mに足りません。",
        "zh": "车距{gap} m不足此条件下建议的{wanted} m。",
    },
    "ttc": {
        "en": "At the present closing speed contact would follow in {ttc} s.",
        "ja": "現在の接近速度では{ttc}秒で接触します。",
        "zh": "按当前接近速度，{ttc}秒后将发生接触。",
    },
    "btn": {
        "en": "Avoiding contact asks for {drac} m/s² of braking, {share} % of what the road can give.",
        "ja": "接触を避けるには{drac} m/s²の減速が必要で、路面の限界の{share} %です。",
        "zh": "避免接触需要{drac} m/s²的减速度，为路面极限的{share} %。",
    },
    "btn_over": {
        "en": "Avoiding contact asks for {drac} m/s² of braking, more than the road can give.",
        "ja": "接触を避けるには{drac} m/s²の減速が必要で、路面の限界を超えます。",
        "zh": "避免接触需要{drac} m/s²的减速度，超出路面极限。",
    },
    "contact": {
        "en": "The gap is closed or about to close.",
        "ja": "車間距離がほとんどありません。",
        "zh": "车距几乎为零。",
    },
    "lane": {
        "en": "The wheels are {line} m from the lane line.",
        "ja": "車輪から車線までの距離は{line} mです。",
        "zh": "车轮距车道线{line} m。",
    },
    "lane_on": {
        "en": "The wheels are on the lane line.",
        "ja": "車輪が車線の上にあります。",
        "zh": "车轮压在车道线上。",
    },
    "lane_over": {
        "en": "The wheels are over the lane line by {line} m.",
        "ja": "車輪が車線を{line} m越えています。",
        "zh": "车轮越过车道线{line} m。",
    },
    "none": {
        "en": "No measure reaches the range where it counts.",
        "ja": "評価の対象となる範囲に達した指標はありません。",
        "zh": "没有指标达到计入风险的范围。",
    },
}


def reason(found: Assessment, language: Language) -> str:
    """One sentence about the limiting factor, with its numbers."""
    gap, wanted = _distinct(found.lead.distance_m, found.recommended_gap_m)
    return _REASONS[_reason_name(found)][language].format(
        gap=gap,
        wanted=wanted,
        ttc=_short(found.ttc_s),
        drac=_short(found.drac_mps2),
        share=f"{100 * (found.btn or 0.0):.0f}",
        line=f"{abs(found.wheel_to_line_m):.2f}",
    )


def _reason_name(found: Assessment) -> str:
    factor = found.limiting_factor
    if factor == "btn":
        if found.drac_mps2 is None:
            return "contact"
        return "btn_over" if (found.btn or 0.0) > 1 else "btn"
    if factor == "ttc":
        return "contact" if found.ttc_s is None or round(found.ttc_s, 1) == 0 else "ttc"
    if factor == "lane":
        shown = round(found.wheel_to_line_m, 2)
        return "lane" if shown > 0 else "lane_over" if shown < 0 else "lane_on"
    return factor


def _distinct(gap_m: float | None, wanted_m: float) -> tuple[str, str]:
    """Both distances with as many decimals as show that they differ, at most three."""
    if gap_m is None:
        return "?", _short(wanted_m)
    for decimals in (1, 2, 3):
        gap, wanted = f"{gap_m:.{decimals}f}", f"{wanted_m:.{decimals}f}"
        if gap != wanted:
            break
    return gap, wanted


def _short(value: float | None) -> str:
    return "?" if value is None else f"{value:.1f}"
