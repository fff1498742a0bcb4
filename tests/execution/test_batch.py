"""Whatever stops a batch, nothing is lost, nothing looks finished that is not, and it resumes."""

from __future__ import annotations

import io
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from o2o_research.errors import CaseError, RunError
from o2o_research.execution import batch, comparing, engine, plans
from o2o_research.execution.stores import Bucket, Folder, about
from tests.house.conftest import set_body

from .conftest import soon

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("tiny_home"),
    pytest.mark.skipif(not engine.available(), reason="runs are forked on Linux only"),
]

BODY = (
    "from o2o_research.narrative import find, open_case, say\n"
    'p = open_case("restaurants", globals())\n'
    'fee = find("fee_equal_ticket", p.delivery_fee / p.commission_share)\n'
    'say(zh=f"在 {fee.zh} 处相等。", en=f"Equal at {fee.en}.")\n'
)
FEES = [5.0, 6.0, 7.0, 8.0]


def plan(fees: list[float] | None = None, **more: Any) -> plans.Plan:
    content = {"case": "restaurants", "grid": {"delivery_fee": FEES if fees is None else fees}}
    return plans.parse("fees", content | {"parameters": {"draws": 100}} | more)


def states(out: Path) -> dict[float, str]:
    frame = pd.read_parquet(out / "runs.parquet")
    return dict(zip(frame["parameter.delivery_fee"], frame["state"], strict=True))


def results(out: Path) -> dict[str, bytes]:
    """Every run's files but the one that says how long it took."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted((out / "runs").rglob("*"))
        if path.is_file() and path.name != "run.json"
    }


def holds(out: Path, *, most: int = 4) -> bool:
    """Whether runs of a finished sweep, made again from their manifests, say what they said."""
    folders = sorted((out / "runs").iterdir())
    assert {json.loads((f / "run.json").read_text())["state"] for f in folders} == {"ok"}
    return all(comparing.verify(folder) == [] for folder in folders[:most])


def test_a_sweep_gathers_parameters_findings_and_states(tmp_path: Path) -> None:
    done = batch.sweep(plan(), tmp_path / "out", workers=2)
    assert (done.failed, done.taken) == ([], 0)
    frame = pd.read_parquet(tmp_path / "out" / "runs.parquet")
    assert frame["parameter.delivery_fee"].tolist() == FEES
    assert frame["finding.fee_equal_ticket"].tolist() == pytest.approx([f / 0.15 for f in FEES])
    # Both parameters are reported facts: the finding has no interval.
    assert frame["finding.fee_equal_ticket.low"].isna().all()
    for language in ("zh", "en"):
        page = (tmp_path / "out" / f"sweep.{language}.html").read_text(encoding="utf-8")
        assert page.count("<svg") == 2
    assert set(frame["state"]) == {"ok"}
    before = results(tmp_path / "out")
    again = batch.sweep(plan([*FEES, 9.0]), tmp_path / "out", workers=2)
    assert (again.taken, len(again.states)) == (4, 5)
    assert before.items() <= results(tmp_path / "out").items()


def test_a_run_that_fails_or_dies_is_alone_and_runs_again(tiny_home: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    trouble = (
        "import os, time\n"
        "if delivery_fee == 6: 1 / 0\n"
        "if delivery_fee == 7: os.kill(os.getpid(), 9)\n"
        "if delivery_fee == 8: print('here', flush=True); time.sleep(600)\n"
        "if delivery_fee == 9: held = b'1' * 5_000_000_000\n"
    )
    set_body(tiny_home, trouble + BODY)
    fees = [*FEES, 9.0]
    limits = {"cell_seconds": 5, "memory_mb": 1500}
    done = batch.sweep(plan(fees, limits=limits), out, workers=3)
    ended = ["ok", "failed", "killed", "timeout", "out_of_memory"]
    assert states(out) == dict(zip(fees, ended, strict=True)), done.reasons
    for run in done.failed:
        folder = out / "runs" / run
        said = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        assert said["cell"]["id"] == "body"
        assert not (folder / "findings.json").exists()
        assert (folder / "restaurants.ipynb").is_file()
    set_body(tiny_home, BODY)
    assert batch.sweep(plan(fees), out, workers=2).reasons == {}
    assert holds(out, most=5)


def test_a_sweep_whose_code_changes_stops_and_mixes_nothing(
    tiny_home: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    batch.sweep(plan(), out, workers=2)
    notebook = tiny_home / "notebooks" / "restaurants.ipynb"

    def told(run: str, said: Any) -> None:
        notebook.write_text(whole[:-100], encoding="utf-8")  # half written

    set_body(tiny_home, "import time; time.sleep(1)\n" + BODY)
    whole = notebook.read_text(encoding="utf-8")
    with pytest.raises(CaseError, match="is not the one that the sweep began with"):
        batch.sweep(plan(), out, workers=1, told=told)
    ended = states(out)
    # The second was under way when the notebook changed: what it made is not believed.
    assert (ended[5.0], ended[7.0], ended[8.0]) == ("ok", "missing", "missing")
    assert ended[6.0] in ("failed", "missing")
    frame = pd.read_parquet(out / "runs.parquet")
    assert frame["finding.fee_equal_ticket"].count() == 1
    notebook.write_text(whole, encoding="utf-8")
    set_body(tiny_home, BODY.replace("/ p", "/ 2 / p"))
    again = batch.sweep(plan(), out, workers=2)
    assert (again.taken, again.failed) == (0, [])
    found = pd.read_parquet(out / "runs.parquet")["finding.fee_equal_ticket"]
    assert found.tolist() == pytest.approx([f / 2 / 0.15 for f in FEES])
    assert holds(out, most=2)


def test_a_corrupt_run_is_made_again(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert batch.sweep(plan(), out, workers=2).reasons == {}
    first, second, *_ = sorted((out / "runs").iterdir())
    (first / "findings.json").write_text("{}", encoding="utf-8")
    (second / "run.json").write_text("{", encoding="utf-8")
    assert about(Folder(out), first.name) is None
    again = batch.sweep(plan(), out, workers=2)
    assert (again.taken, again.failed) == (2, [])
    assert comparing.verify(first) == comparing.verify(second) == []


def test_two_batches_in_one_folder_are_one_too_many(tmp_path: Path) -> None:
    out, refused = tmp_path / "out", []

    def told(run: str, said: Any) -> None:
        with pytest.raises(CaseError, match="another batch is at work") as caught:
            batch.sweep(plan(), out, workers=1)
        refused.append(caught)

    first = batch.sweep(plan(), out, workers=2, told=told)
    assert (first.reasons, len(refused)) == ({}, 4)
    assert batch.sweep(plan(), out).taken == 4
    assert holds(out, most=1)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("precious")
    with pytest.raises(CaseError, match="something else"):
        batch.sweep(plan(), tmp_path)
    assert [path.name for path in tmp_path.glob("*.*")] == ["precious.txt"]


def command(tmp_path: Path) -> list[str]:
    file = tmp_path / "fees.yaml"
    content = {"case": "restaurants", "grid": {"delivery_fee": [float(n) for n in range(5, 17)]}}
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return [sys.executable, "-m", "o2o_research.cli", "sweep", str(file), "--workers", "2",
            "--out", str(tmp_path / "out")]  # fmt: skip


def test_a_batch_that_is_stopped_resumes_however_often_and_however(
    tiny_home: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    set_body(tiny_home, "import time; time.sleep(0.3)\n" + BODY)
    good: list[str] = []
    for how in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        # A test in the background must not make its batch deaf to Ctrl-C.
        with subprocess.Popen(
            command(tmp_path),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        ) as process:
            try:
                assert soon(lambda known=good: len(sound(out)) > len(known), 240)
                process.send_signal(how)
                said, _ = process.communicate(timeout=120)
            finally:
                process.kill()
        assert process.returncode == (-signal.SIGKILL if how == signal.SIGKILL else 130), how
        if how != signal.SIGKILL:
            assert b"of 12 runs are done; the same command goes on from there" in said
        before, good = good, sound(out)
        assert set(before) < set(good)
        assert len(good) < 12
    again = batch.sweep(plans.read(tmp_path / "fees.yaml"), out, workers=2)
    assert (again.taken, again.failed, len(again.states)) == (len(good), [], 12)
    assert not list((out / "runs").glob(".*"))
    assert holds(out, most=2)


def sound(out: Path) -> list[str]:
    """The runs that are there, whole and well."""
    runs = [path.parent.name for path in (out / "runs").glob("[!.]*/run.json")]
    return [run for run in runs if (about(Folder(out), run) or {}).get("state") == "ok"]


def test_the_death_of_the_warm_process_costs_no_run(tiny_home: Path, tmp_path: Path) -> None:
    set_body(tiny_home, "import time; time.sleep(0.6)\n" + BODY)
    batch.sweep(plan([4.0]), tmp_path / "first")
    process = next(iter(engine._warm.values())).process
    threading.Timer(0.6, process.kill).start()
    assert batch.sweep(plan(), tmp_path / "out", workers=2).reasons == {}
    assert process.wait(60) == -signal.SIGKILL
    assert holds(tmp_path / "out", most=1)


def test_a_full_disk_leaves_nothing_that_looks_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = tmp_path / "full"
    full.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", str(full)], capture_output=True, check=False
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip("no small file system can be mounted here")
    try:
        out, fees = full / "out", [float(n) for n in range(5, 15)]
        try:
            reasons = " ".join(batch.sweep(plan(fees), out, workers=2).reasons.values())
        except (OSError, RunError, CaseError) as error:
            reasons = str(error)
        assert "No space left" in reasons
        for folder in (out / "runs").glob("*"):
            assert about(Folder(out), folder.name) is not None
        subprocess.run(["mount", "-o", "remount,size=20m", str(full)], check=True)
        again = batch.sweep(plan(fees), out, workers=2)
        assert (again.failed, len(again.states)) == ([], 10)
        assert holds(out, most=2)
    finally:
        subprocess.run(["umount", str(full)], check=False)


def test_a_clock_that_jumps_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jumps = itertools.cycle([0.0, 4e9, 1.7e9])
    monkeypatch.setattr("time.time", lambda: next(jumps))
    out, limits = tmp_path / "out", {"run_seconds": 300, "cell_seconds": 300}
    assert batch.sweep(plan(limits=limits), out, workers=2).reasons == {}
    assert batch.sweep(plan(limits=limits), out, workers=2).taken == 4
    assert holds(out, most=1)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket on an S3 server of this machine."""
    program = shutil.which("moto_server")
    if program is None:
        pytest.skip("no S3 server: moto_server is not on the PATH")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for key, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }.items():
        monkeypatch.setenv(key, value)
    # A Python of its own: what stands here is not for it.
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "AWS_"))}
    with subprocess.Popen(
        [program, "-H", "127.0.0.1", "-p", str(port)],
        env=clean,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        try:
            assert soon(lambda: _listens(port), 120)
            urllib.request.urlopen(
                urllib.request.Request(f"http://127.0.0.1:{port}/shelf", method="PUT")
            ).close()
            yield "s3://shelf/sweeps/fees"
        finally:
            server.kill()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def test_a_bucket_holds_the_same_runs(bucket: str, tmp_path: Path) -> None:
    batch.sweep(plan(), tmp_path / "folder", workers=2)
    done = batch.sweep(plan(), bucket, workers=2)
    assert (done.reasons, done.taken, done.address) == ({}, 0, bucket)
    place = Bucket(bucket)
    for file, content in results(tmp_path / "folder").items():
        _, run, name = file.split("/")
        assert place.get(run, name) == content
    table = pd.read_parquet(io.BytesIO(place.read("runs.parquet") or b""))
    assert table["parameter.delivery_fee"].tolist() == FEES
    assert set(table["state"]) == {"ok"}
    # As a batch that was killed while it wrote, and a file that was cut short.
    first, second, *_ = done.states
    place._fs.rm_file(f"{place._root}/runs/{first}/run.json")
    place._fs.pipe_file(f"{place._root}/runs/{second}/findings.json", b"{")
    again = batch.sweep(plan(), bucket, workers=2)
    assert (again.taken, again.failed) == (2, [])


def test_a_bucket_that_is_not_there_is_named(bucket: str) -> None:
    with pytest.raises(CaseError, match="cannot write to s3://nowhere/fees"):
        batch.sweep(plan([5.0]), "s3://nowhere/fees", workers=1)


def test_a_cluster_gives_the_same_bytes_though_a_worker_is_killed(
    tiny_home: Path, tmp_path: Path
) -> None:
    distributed = pytest.importorskip("distributed")
    set_body(tiny_home, "import time; time.sleep(0.3)\n" + BODY)
    fees = [float(n) for n in range(5, 11)]
    batch.sweep(plan(fees), tmp_path / "here", workers=2)
    killed = []

    def told(run: str, said: Any) -> None:
        if not killed:
            worker = next(iter(cluster.workers.values()))
            killed.append(worker.process.process.pid)
            os.kill(killed[0], signal.SIGKILL)

    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        address = cluster.scheduler_address
        done = batch.sweep(plan(fees), tmp_path / "there", cluster=address, told=told)
        # Into a bucket the workers write themselves.
        bucket = tmp_path / "bucket"
        bucket.mkdir()
        store = f"local://{bucket}"
        for run in done.states:
            (bucket / "runs" / run).mkdir(parents=True)
        other = batch.sweep(plan(fees), store, cluster=address)
    assert killed
    assert done.reasons == other.reasons == {}
    assert results(tmp_path / "there") == results(tmp_path / "here") == results(bucket)
    assert holds(tmp_path / "there", most=1)


def test_a_difference_is_named_and_small_ones_can_be_ignored(tmp_path: Path) -> None:
    batch.sweep(plan([5.0, 6.0]), tmp_path / "out", workers=2)
    one, other = sorted((tmp_path / "out" / "runs").iterdir())
    found = comparing.changes(comparing.record(one), comparing.record(other))
    assert ("parameter", "delivery_fee") in {(c.kind, c.name) for c in found}
    assert ("finding", "fee_equal_ticket") in {(c.kind, c.name) for c in found}
    loose = comparing.changes(comparing.record(one), comparing.record(other), 0.5)
    assert {c.kind for c in loose} == {"parameter"}
    assert "fee_equal_ticket" in comparing.page(one, other, found)
