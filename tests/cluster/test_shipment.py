"""What goes along with a submitted job, and what stays at home."""

import errno
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainyard.cluster import shipment as shipping
from trainyard.cluster.shipment import Shipment, Shipped, readable, shipment_of
from trainyard.errors import UsageError
from trainyard.spec.load import load
from trainyard.sweep.results.claim import claimed
from trainyard.sweep.results.folder import SweepFolder

JOB = """
name: own
task: classification
data: {path: /shared/digits}
model: {name: MODEL}
loss: {cross_entropy: {}}
optimizer: {name: adam, lr: 1e-3}
training: {epochs: 1, batch_size: 2}
objective: {metric: val/accuracy, mode: max}
"""
PRETRAINED = JOB.replace("{name: MODEL}", "{name: torchvision, architecture: resnet18, weights: WEIGHTS}")
SPACE = "parameters: {model.weights: {type: categorical, choices: [null, weights/a.pth, /shared/b.pth]}}"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(*names: str, text: str = "x") -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)


def shipped(job: str, *include: str, space: str | None = None) -> Shipment:
    write("jobs/job.yaml", text=job.lstrip())
    specs = [Path("jobs/job.yaml")]
    if space is not None:
        write("spaces/space.yaml", text=space)
        specs.append(Path("spaces/space.yaml"))
    return shipment_of(Path.cwd(), specs, *load(*specs), [Path(item) for item in include])


def names(shipment: Shipment) -> list[str]:
    return [file.path for file in shipment.files]


def test_a_job_with_a_model_of_ours_is_its_file_alone(place: Path) -> None:
    write("jobs/other.yaml", "jobs/nets.py", "data/digits/train.parquet", ".git/HEAD", "results/s/journal.jsonl")

    assert names(shipped(JOB.replace("MODEL", "cnn"))) == ["jobs/job.yaml"]


def test_a_space_goes_along_with_the_weights_that_it_names(place: Path) -> None:
    write("weights/a.pth", "weights/c.pth", "weights/unused.pth")

    shipment = shipped(PRETRAINED.replace("WEIGHTS", "weights/c.pth"), space=SPACE)

    assert names(shipment) == ["jobs/job.yaml", "spaces/space.yaml", "weights/a.pth", "weights/c.pth"]
    assert shipment.expected == ("/shared/b.pth",)


def test_a_model_of_the_users_own_comes_with_the_python_files_of_the_jobs_folder(place: Path) -> None:
    write("jobs/nets/__init__.py", "jobs/nets/blocks.py", "jobs/nets/sizes.json", "jobs/helpers.py", "jobs/notes.txt")
    write("elsewhere.py", "jobs/nets/__pycache__/blocks.pyc", "jobs/.venv/lib/torch.py")

    assert names(shipped(JOB.replace("MODEL", "nets.blocks:build"))) == [
        "jobs/helpers.py",
        "jobs/job.yaml",
        "jobs/nets/__init__.py",
        "jobs/nets/blocks.py",
        "jobs/nets/sizes.json",
    ]


@pytest.mark.parametrize(
    "mark",
    ["pyvenv.cfg", "conda-meta/history", "site-packages/a.py", "CACHEDIR.TAG"],
    ids=str,
)
def test_environments_and_caches_stay_at_home(place: Path, mark: str) -> None:
    write("jobs/net.py", f"jobs/folder/{mark}", "jobs/folder/code.py", "jobs/folder/below/code.py")

    assert names(shipped(JOB.replace("MODEL", "net:build"))) == ["jobs/job.yaml", "jobs/net.py"]


@pytest.mark.parametrize("mark", ["journal.jsonl", "mlflow.db"])
def test_results_stay_at_home_and_code_beside_them_does_not(place: Path, mark: str) -> None:
    write(
        "jobs/net.py", f"jobs/results/{mark}", "jobs/results/below/code.py", f"jobs/tools/{mark}", "jobs/tools/code.py"
    )

    assert names(shipped(JOB.replace("MODEL", "net:build"))) == ["jobs/job.yaml", "jobs/net.py", "jobs/tools/code.py"]


@pytest.mark.parametrize(
    "files",
    [
        ["mlflow.db", "mlflow.db-wal", "mlartifacts/1/code.py", "artifacts/1/code.py"],
        ["pyvenv.cfg", "bin/code.py", "lib/python3.11/site-packages/code.py", "lib/python3.11/code.py"],
        ["conda-meta/history", "lib/python3.11/site-packages/code.py", "lib/python3.11/code.py"],
        ["origin.json", "journal.jsonl", "trials/00000/code.py", "study.db"],
        ["journal.jsonl"],
        ["CACHEDIR.TAG"],
        ["manifest.json", "train-0.parquet"],
    ],
    ids=lambda files: files[0],
)
def test_code_is_shipped_from_a_folder_in_which_something_else_is_kept_too(place: Path, files: list[str]) -> None:
    write("jobs/nets/__init__.py", "jobs/helpers.py", "jobs/trained/code.py", *(f"jobs/{file}" for file in files))

    assert names(shipped(JOB.replace("MODEL", "nets:build"))) == [
        "jobs/helpers.py",
        "jobs/job.yaml",
        "jobs/nets/__init__.py",
        "jobs/trained/code.py",
    ]


def test_code_that_would_stay_at_home_is_told(place: Path) -> None:
    write("jobs/nets/__init__.py", "jobs/nets/large/__init__.py", "jobs/nets/large/CACHEDIR.TAG")

    with pytest.raises(UsageError) as refused:
        shipped(JOB.replace("MODEL", "nets.large:build"))

    assert str(refused.value).startswith(f"model nets.large:build: {place}/jobs/nets/large/__init__.py would not be ")


def test_a_module_that_its_package_lacks_is_told(place: Path) -> None:
    write("jobs/nets/__init__.py", "jobs/nets/blocks.py")

    with pytest.raises(UsageError) as refused:
        shipped(JOB.replace("MODEL", "nets.block:build"))

    nets = place / "jobs" / "nets"
    told = f"model nets.block:build: there is no module nets.block in {nets.parent}, although {nets} is there."
    assert str(refused.value) == told


def test_a_folder_of_the_name_of_a_module_is_not_taken_for_it(place: Path) -> None:
    write("jobs/library/words.txt")

    shipment = shipped(JOB.replace("MODEL", "library.nets:build"))

    assert shipment.expected == ("the Python module library.nets, which is not in jobs",)


def test_a_module_of_the_users_own_may_be_compiled(place: Path) -> None:
    write("jobs/nets.abi3.so", "jobs/other.abi3.so")

    assert names(shipped(JOB.replace("MODEL", "nets:build"))) == ["jobs/job.yaml", "jobs/nets.abi3.so"]


def test_a_folder_that_is_included_goes_without_the_records_in_it(place: Path) -> None:
    write("words/a.txt", "mlflow.db", "artifacts/0/picture.png")

    assert names(shipped(JOB.replace("MODEL", "cnn"), ".")) == ["jobs/job.yaml", "words/a.txt"]


def test_a_sweep_stays_at_home_also_when_it_is_asked_for(place: Path) -> None:
    job = JOB.replace("MODEL", "cnn")
    shipped(job)
    folder = SweepFolder.create(Path("results"), "old", *load(Path("jobs/job.yaml")))
    write("results/mlflow.db", "results/artifacts/1/picture.png", "results/old/journal.jsonl", "results/old/study.db")
    with claimed(folder):
        for path in ("results", "results/old"):
            with pytest.raises(UsageError, match=rf"^--include {path}: nothing to ship is there\."):
                shipped(job, path)


def test_a_folder_that_cannot_be_read_is_told(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read all."""
    write("jobs/net.py", "jobs/closed/code.py")
    listed = Path.iterdir

    def refusing(self: Path) -> Iterator[Path]:
        if self.name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return listed(self)

    monkeypatch.setattr(Path, "iterdir", refusing)

    with pytest.raises(UsageError, match=rf"^{place}/jobs/closed: can't be read \(Permission denied\)\. Put the job "):
        shipped(JOB.replace("MODEL", "net:build"))


def test_data_sets_stay_at_home_also_when_they_are_asked_for(place: Path) -> None:
    write("data/digits/manifest.json", "data/digits/train-0.parquet", "data/digits/LICENSE")

    with pytest.raises(UsageError, match=r"^--include data/digits: nothing to ship is there\. Data sets, "):
        shipped(JOB.replace("MODEL", "cnn"), "data/digits")


def test_a_module_that_is_not_beside_the_job_is_expected_on_the_nodes(place: Path) -> None:
    write("jobs/unrelated.py")

    shipment = shipped(JOB.replace("MODEL", "library.nets:build"))

    assert names(shipment) == ["jobs/job.yaml"]
    assert shipment.expected == ("the Python module library.nets, which is not in jobs",)


def test_what_is_included_is_taken_whole(place: Path) -> None:
    write("words/a.txt", "words/deep/b.bin", "one.csv", "two.csv")

    found = names(shipped(JOB.replace("MODEL", "cnn"), "words", "one.csv"))

    assert found == ["jobs/job.yaml", "one.csv", "words/a.txt", "words/deep/b.bin"]


KEYS = [
    "server.pem",
    "tls.KEY",
    "id_rsa",
    "id_ed25519.old",
    ".env",
    ".env.local",
    "prod.env",
    ".netrc",
    "credentials.json",
    "aws-credentials",
    "client_secret_1.json",
    "service-account.json",
    "secrets.yaml",
    "auth_token",
]


@pytest.mark.parametrize("name", KEYS)
def test_keys_and_passwords_stay_at_home_unless_they_are_named(place: Path, name: str) -> None:
    write("jobs/nets/__init__.py", f"jobs/nets/{name}")
    job = JOB.replace("MODEL", "nets:build")

    found = shipped(job)
    assert (names(found), found.left_out) == (["jobs/job.yaml", "jobs/nets/__init__.py"], (f"jobs/nets/{name}",))
    of_folder = shipped(job, "jobs/nets")
    assert (names(of_folder), of_folder.left_out) == (names(found), found.left_out)
    by_name = shipped(job, f"jobs/nets/{name}")
    assert f"jobs/nets/{name}" in names(by_name)
    assert by_name.left_out == ()


def test_what_only_sounds_like_a_key_is_shipped(place: Path) -> None:
    found = [f"jobs/nets/{name}" for name in ("credentials.py", "secrets.py", "keys.json", "tokenizer.json", "env.txt")]
    write(*found)

    shipment = shipped(JOB.replace("MODEL", "nets:build"))

    assert set(names(shipment)) == {"jobs/job.yaml", *found}
    assert shipment.left_out == ()


def test_a_link_to_a_key_is_one(place: Path) -> None:
    write("jobs/nets/__init__.py", "ssh/id_rsa")
    os.symlink("../../ssh/id_rsa", "jobs/nets/host")

    assert shipped(JOB.replace("MODEL", "nets:build")).left_out == ("jobs/nets/host",)


def test_what_is_to_be_included_must_be_there(place: Path) -> None:
    with pytest.raises(UsageError, match=r"^--include lost: there is no such file or folder\."):
        shipped(JOB.replace("MODEL", "cnn"), "lost")


@pytest.mark.parametrize("path", ["../outside.txt", "/etc/hostname"])
def test_nothing_outside_the_folder_is_shipped(place: Path, path: str) -> None:
    write(str(place.parent / "outside.txt"))

    with pytest.raises(UsageError, match=rf"{Path(path).name}: can't be shipped, as it is not below {place}\."):
        shipped(JOB.replace("MODEL", "cnn"), path)


def test_links_are_followed_and_circles_are_not(place: Path) -> None:
    write("library/nets.py")
    Path("jobs").mkdir()
    os.symlink("../library/nets.py", "jobs/nets.py")
    os.symlink("..", "jobs/up")
    os.symlink("nowhere", "jobs/lost.py")

    found = names(shipped(JOB.replace("MODEL", "nets:build")))

    assert found == ["jobs/job.yaml", "jobs/nets.py", "jobs/up/library/nets.py"]


def test_the_same_files_make_the_same_archive(place: Path) -> None:
    """Ray knows an archive by its bytes, and takes none twice."""
    write("words/a.txt")
    job = JOB.replace("MODEL", "cnn")
    shipped(job, "words").pack(Path("one.zip"))
    os.utime("words/a.txt", (0, 1_000_000_000))
    shipped(job, "words").pack(Path("two.zip"))
    write("words/a.txt", text="other")
    shipped(job, "words").pack(Path("three.zip"))

    assert Path("one.zip").read_bytes() == Path("two.zip").read_bytes() != Path("three.zip").read_bytes()
    with zipfile.ZipFile("three.zip") as archive:
        assert archive.namelist() == ["jobs/job.yaml", "words/a.txt"]
        assert archive.read("words/a.txt") == b"other"


def test_a_file_that_vanishes_before_it_is_packed_is_told(place: Path) -> None:
    shipment = shipped(JOB.replace("MODEL", "cnn"))
    Path("jobs/job.yaml").unlink()

    with pytest.raises(UsageError, match=r"jobs/job\.yaml: can't be shipped \(No such file or directory\)\.$"):
        shipment.pack(Path("archive.zip"))


def test_too_large_a_shipment_is_refused_with_its_largest_files() -> None:
    files = tuple(Shipped(f"{size}.bin", size * 2**20) for size in (1, 60, 2, 50, 3, 4))

    with pytest.raises(UsageError) as refused:
        Shipment(root=Path("/home"), files=files).check()

    assert str(refused.value).splitlines() == [
        "/home: 120.0 MiB would be shipped, more than 100.0 MiB. The largest files:",
        "   60.0 MiB  60.bin",
        "   50.0 MiB  50.bin",
        "    4.0 MiB  4.bin",
        "    3.0 MiB  3.bin",
        "    2.0 MiB  2.bin",
        "Put them where the nodes see them, and name them by an absolute path there.",
    ]
    Shipment(root=Path("/home"), files=(Shipped("fits.bin", 100 * 2**20),)).check()


def test_a_folder_of_too_many_files_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "MOST_FILES", 3)
    write("jobs/net.py", "jobs/a.py", "jobs/b.py", *(f"jobs/image-{number}.png" for number in range(9)))
    shipped(JOB.replace("MODEL", "net:build"))
    write("jobs/c.py")

    with pytest.raises(UsageError, match=r"jobs: has more than 3 files to be shipped\."):
        shipped(JOB.replace("MODEL", "net:build"))


def test_sizes_are_told_in_their_own_unit() -> None:
    assert [readable(size) for size in (0, 1023, 1024, 2**20 - 1024, 2**20, 150 * 2**20)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "1023.0 KiB",
        "1.0 MiB",
        "150.0 MiB",
    ]
