"""Readings against limits that are written in many ways, also to deceive."""

from __future__ import annotations

import pytest

from edgechat.tasks.rootcause.reading import read


def judged(line: str) -> str | None:
    reading = read(line)
    if reading is None:
        return None
    return reading.direction if reading.is_comparable else "not comparable"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("torque 11.2 Nm, limit 12.0 to 14.0", "below"),
        ("torque 12.9 Nm, limit 12.0 to 14.0", "within"),
        ("VIB_RMS=6.9 mm/s LSL=0 USL=2.8", "above"),
        ("I=8.1kA nom=9.6kA tol=+/-5%", "below"),
        ("I=9.5kA nom=9.6kA tol=+/-5%", "within"),
        ("act=244 set=245 dev_max=3", "within"),
        ("depth 18.412, nominal 16.000, tol +0.100/-0.100", "above"),
        ("dia 12.006, nominal 12.000, tol +0.018/0", "within"),
        ("dia 11.999, nominal 12.000, tol +0.018/0", "below"),
        ("hall 31.8 °C, allowed 20 ± 2 °C", "above"),
        ("moisture 0,19 %, max 0,02 %", "above"),
        ("dew point -41 °C, max -30 °C", "within"),
        ("count 2, customer specification min 480", "below"),
        ("pressure 5.1 bar, at least 6.0 bar", "below"),
        ("pressure 7 bar, 6 bar max", "above"),
        ("angle 212 deg, high limit 120 deg", "above"),
        ("curing 5 min, data sheet 15 min", "below"),
        ("ズレ 0.31mm 規格±0.15mm", "above"),
        ("曲げ角度 92.8° 公差 90°±1°", "above"),
        ("はんだ体積 103% 規格 80〜130%", "within"),
        ("硬度 最小 55 HRC 規格 58〜62 HRC", "below"),
        ("真空度 -82 kPa 規格 -80 kPa以下", "within"),
        ("隙間 0.5 mm 規格 0.5 mm未満", "above"),
        ("隙間 0.5 mm 規格 0.5 mm以下", "within"),
        ("仮固定時間 0 s 目標値 20 s 下限 15 s", "below"),
        ("保温时间 3.0 h 热处理规范 ≥5 h", "below"),
        ("氯离子沉积 63 mg/(m²·d) 上限 10", "above"),
        ("称重 212.4 g 目标值 214.0 g 公差 ±0.5 g", "below"),
        ("6区温度 实际 203℃ 设定 240℃ 允许偏差 ±5℃", "below"),
        ("depth 5½ mm, limit 5 mm", "above"),
        ("force 1.250,00 N, max 1.300,00 N", "within"),
        ("force 1.350,00 N, max 1.300,00 N", "above"),
        # The limits stand backwards, or the upper one is the smaller one.
        ("torque 13 Nm, limit 14.0 to 12.0", "within"),
        ("torque 15 Nm, limit 14.0 to 12.0", "above"),
        ("torque 13 Nm LSL=14 USL=12", "within"),
        # Value and limit in different units.
        ("gap 0.31 mm, limit 200 µm", "above"),
        ("gap 0.19 mm, limit 200 µm", "within"),
        ("pressure 580 kPa, min 6 bar", "below"),
        ("temperature 212 °F, limit 90 °C", "above"),
        ("time 90 s, limit 1 min", "above"),
        ("time 90 s, limit 5 bar", "not comparable"),
        ("leak 0.3, spec 1.0", "not comparable"),
        ("leak 4.1 ml/min, spec 1.0", "above"),
        ("ts=1744612211,tag=EXT2.MFI,val=1.9,lo=2.8,hi=3.6,unit=g/10min", "below"),
        ("INCOMING heat 88213 C 0.142 % (spec 0.17..0.23)", "below"),
        ("exposure_us=2000 recipe_us=8000 tol_us=200", "below"),
        ("spindle load 34 %, warning at 80 %", "within"),
        ("パーティクル(0.5µm) 41200 個/m3 管理値 10000 以下", "above"),
        # No reading with a limit.
        ("Apr 15 07:05:40 hmi[412]: recipe 14 loaded", None),
        ("N120 S1800 M03", None),
        ("error proofing overridden by user 2231", None),
        ("conveyor 0.85 m/min", None),
    ],
)  # fmt: skip
def test_a_value_is_compared_with_its_limits(line, expected):
    assert judged(line) == expected


def test_the_value_is_the_number_with_the_unit_of_the_limits():
    reading = read("bore 12.043 mm on gauge 15, limit 12.000 to 12.018")
    assert reading is not None
    assert (reading.value.text, reading.subject, reading.limit_text) == ("12.043 mm", "bore", "limit 12.000 to 12.018")


def test_deviations_of_different_quantities_can_be_ranked():
    slight, far = read("torque 14.1 Nm, limit 12.0 to 14.0"), read("leak 4.1 ml/min, limit 1.0")
    assert slight is not None
    assert far is not None
    assert 0 < slight.distance < far.distance
