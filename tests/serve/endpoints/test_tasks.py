"""``/v1/tasks``, ``/metrics`` and ``/openapi.json`` over real HTTP."""

import json

import jsonschema
import pytest
from prometheus_client.parser import text_string_to_metric_families

from edgechat.tasks import registry
from tests.serve.server import Server

pytestmark = pytest.mark.engine

SAFE = {
    "speed_kmh": 30.0,
    "distance_to_car_m": 80.0,
    "lane_center_offset_m": 0.1,
    "weather": "clear",
    "time_of_day": "day",
}


def test_the_list_and_the_schemas_are_those_of_the_command_line(server: Server) -> None:
    listed = [each["id"] for each in server.http.get("/v1/tasks").json()["data"]]
    assert listed == [each.name for each in registry.installed_tasks()]
    shown = server.http.get("/v1/tasks/driving").json()
    jsonschema.validate(shown["example"], shown["input"])


def test_one_record_gets_one_result(server: Server) -> None:
    shown = server.http.get("/v1/tasks/driving").json()
    response = server.post("/v1/tasks/driving", {**SAFE, "id": "a7"})
    assert response.status_code == 200
    done = response.json()
    assert (done["id"], done["task"], done["status"]) == ("a7", "driving", "ok")
    jsonschema.validate(done["result"], shown["output"])


def test_a_record_that_is_wrong_has_its_errors_in_the_result(server: Server) -> None:
    done = server.post("/v1/tasks/driving", {**SAFE, "speed_kmh": "fast"}).json()
    assert done["status"] == "invalid_input"
    assert done["errors"][0]["path"] == "/speed_kmh"


def test_lines_come_back_in_order_one_result_each(server: Server) -> None:
    records = [{**SAFE, "id": "x"}, {**SAFE, "speed_kmh": None}, {**SAFE, "distance_to_car_m": 60.0}]
    body = "".join(json.dumps(record) + "\n" for record in records)
    response = server.http.post("/v1/tasks/driving", content=body, headers={"Content-Type": "application/x-ndjson"})
    assert response.status_code == 200
    done = [json.loads(line) for line in response.text.splitlines()]
    assert [each["id"] for each in done] == ["x", 2, 3]
    assert [each["status"] for each in done] == ["ok", "invalid_input", "ok"]


def test_a_line_that_is_no_json_costs_only_itself(server: Server) -> None:
    body = json.dumps(SAFE) + "\nnot json\n" + json.dumps(SAFE) + "\n"
    response = server.http.post("/v1/tasks/driving", content=body, headers={"Content-Type": "application/jsonl"})
    done = [json.loads(line) for line in response.text.splitlines()]
    assert [each["status"] for each in done] == ["ok", "invalid_input", "ok"]
    assert "Line 2" in done[1]["errors"][0]["message"]


def test_an_id_that_no_utf_8_can_hold_costs_nothing_but_its_spelling(server: Server) -> None:
    body = json.dumps({**SAFE, "id": "a\ud800"}) + "\n" + json.dumps(SAFE) + "\n"
    response = server.http.post("/v1/tasks/driving", content=body, headers={"Content-Type": "application/x-ndjson"})
    assert [json.loads(line)["id"] for line in response.text.splitlines()] == ["a\ud800", 2]


def test_an_unknown_task_and_an_empty_body_are_refused(server: Server) -> None:
    response = server.post("/v1/tasks/drivin", SAFE)
    assert response.status_code == 404
    assert "driving" in response.json()["error"]["message"]
    empty = server.http.post("/v1/tasks/driving", content=b"\n", headers={"Content-Type": "application/x-ndjson"})
    assert empty.status_code == 400


def test_metrics_are_prometheus_text_and_count_what_was_asked(server: Server) -> None:
    before = server.metric("edgechat_completion_tokens_total")
    server.chat(max_tokens=8)
    assert server.metric("edgechat_completion_tokens_total") == before + 8
    families = {each.name for each in text_string_to_metric_families(server.http.get("/metrics").text)}
    assert families >= {
        *("edgechat_ttft_seconds", "edgechat_waiting", "edgechat_forced_tokens", "edgechat_prefix_cache_hits"),
        *("edgechat_engine_resident_bytes", "edgechat_engine_restarts", "edgechat_requests", "edgechat_cached_tokens"),
    }
    assert server.metric("edgechat_engine_resident_bytes") > 50e6


def test_the_description_names_every_endpoint(server: Server) -> None:
    described = server.http.get("/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    text = json.dumps(described)
    refs = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert refs <= set(described["components"]["schemas"])
    for path in ("/v1/models", "/v1/tasks", "/health", "/metrics"):
        assert path in described["paths"]
        assert server.http.get(path).status_code == 200
