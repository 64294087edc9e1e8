"""What the user did wrong: exit code 2, one message on standard error, nothing trained."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

PHOTOS = """\
name: photos
data: {source: image-folder, train: 8, validation: 4}
recipe: {epochs: 1, batch_size: 4}
student: {model: plain-4}
replicates: {count: 1, students: 1}
"""


@pytest.fixture
def photos(here):
    """The study file `photos.yaml` and a folder of images `photos` for it."""
    (here / "photos.yaml").write_text(PHOTOS)
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (here / "photos" / "train" / name).mkdir(parents=True)
        for number in range(8):
            pixels = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(here / "photos" / "train" / name / f"{number}.png")
    return here / "photos"


# --- the study -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("student:", "students:", "students: unknown key; did you mean 'student'?"),
        ("epochs: 2", "epoch: 2", "recipe.epoch: unknown key; did you mean 'epochs'?"),
        ("distill_until", "distil_until", "did you mean 'distill_until'?"),
        ("epochs: 2", "epochs: two", "recipe.epochs: input should be a valid integer"),
        ("epochs: 2", "epochs: 2.0", "recipe.epochs: input should be a valid integer"),
        ("lr: 0.05", "lr: -0.05", "lr: input should be greater than 0"),
        ("train: 100", "train: 0", "data.train: input should be greater than or equal to 1"),
        (
            "plain-4-4}\nteachers",
            "plane-4-4}\nteachers",
            "student.model: unknown model 'plane-4-4'",
        ),
        ("{model: plain-8-8}", "{model: wrn-11-1}", "teachers.large.model: 'wrn-11-1'"),
        ("truncated: 1", "truncated: 3", "a stop after 3 epochs does not lie within the 2"),
        ("distill_until: 1", "distill_until: 3", "until epoch 3 lies beyond the 2 epochs"),
        ("source: digits", "source: digit", "unknown source 'digit'.\n  Did you mean 'digits'?"),
        ("train: 100", "train: 5000", "5150 images are asked for; the source has 1797"),
        ("kd/small]", "kd/smal]", "unknown condition 'kd/smal'.\n  Did you mean 'kd/small'?"),
        ("of: train_kl}", "of: train_lk}", "unknown metric 'train_lk'"),
        ("teacher: [small", "teacher: [smal", "unknown teacher 'smal'.\n  Did you mean 'small'?"),
        ("{of: large,", "{of: early,", "in a circle: early -> early"),
        ("{extends: kd", "{extends: eskd", "in a circle: eskd -> eskd"),
        ("{model: plain-8-8}", "{model: plain-8-8, teacher: soft}", "other in a circle: large ->"),
        ("epochs: 2,", "epochs: 3, schedule: {mode: 1/2},", "epochs 3 contradicts the mode 1/2"),
        ("epochs: 2, ", "", "recipe: the recipe names no number of epochs"),
        ("test: 100,", "test: 100, label_noise: 1.0,", "label_noise: input should be less than 1"),
        ("students: 2", "students: 1000000", "would have 12,000,004 runs; 100,000 can be planned"),
        ("epochs: 2", "epochs: 500000", "would have 14,000,000 epochs; 5,000,000 can be planned"),
        ("extends: kd, teacher: large, ", "", "distill_until needs a teacher, and none is named"),
        ("direction: greater", "direction: up", "direction: input should be 'less', 'greater'"),
        (
            "    larger-is-worse:",
            "    more: {equivalence: [eskd, kd/large], margin: 2.0}\n    larger-is-worse:",
            "claims.primary: dictionary should have at most 1 item",
        ),
        ("name: tiny", "name: ../tiny", "tiny.yaml, line 1: name: string should match pattern"),
    ],
)
def test_a_wrong_study(refused, here, old, new, words):
    text = (here / "tiny.yaml").read_text()
    assert text.count(old) >= 1
    (here / "tiny.yaml").write_text(text.replace(old, new, 1))
    assert words in refused("run", "tiny.yaml")
    assert words in refused("plan", "tiny.yaml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "tiny.yaml: is not a study: it holds no keys"),
        (b"42", "is not a study"),
        (b"just words", "is not a study: it holds one word"),
        (b"- a\n- b\n", "is not a study"),
        (b"name: [", "is not a plain YAML file"),
        (b"name: \xff\xfe", "tiny.yaml: cannot be read"),
        (bytes(range(256)) * 20, "tiny.yaml: cannot be read"),
        (b"name: a\0b\n", "tiny.yaml: is not a plain YAML file: unacceptable character"),
        (b"name: x\n\tseed: 1\n", "tiny.yaml, line 2: is not a plain YAML file: found a tab"),
        (b"seed: 1\nseed: 2\n", "tiny.yaml, line 2: is not a plain YAML file: found duplicate"),
        (b"name: a\n---\nname: b\n", "tiny.yaml, line 2: is not a plain YAML file"),
        (b"# long\n" * 150_000, "tiny.yaml: is larger than a study file can be (1 MB)"),
        (b"extends: tiny.yaml\nname: x\n", "extends: studies extend each other in a circle"),
        (b"extends: nowhere\n", "tiny.yaml, extends: unknown study 'nowhere'"),
        (b"extends: ''\n", "tiny.yaml, extends: '' is no study's name"),
        (b"extends: [demo]\n", "tiny.yaml, extends: ['demo'] is no study's name"),
        (b"a: &a [*a]", "tiny.yaml"),
        (b"a: " + b"[" * 50_000, "nested more than 20 levels deep"),
        (b"a: " + b"{b: " * 5000 + b"1" + b"}" * 5000, "nested more than 20 levels deep"),
        (
            b"a: &a [x, x]\n" + b"".join(
                b"%c: &%c [%s]\n" % (n, n, b", ".join([b"*%c" % (n - 1)] * 9))
                for n in range(ord("b"), ord("n"))
            ),
            "is not a plain YAML file",
        ),
    ],
    ids=["empty", "number", "word", "list", "open", "latin", "binary", "zero", "tab", "twice",
         "documents", "huge", "cycle", "parent", "nobody", "many", "circle", "deep", "deeper",
         "bomb"],
)  # fmt: skip
def test_a_file_that_is_no_study(refused, here, text, words):
    (here / "tiny.yaml").write_bytes(text)
    assert words in refused("run", "tiny.yaml")


@pytest.mark.parametrize(
    "tag",
    ["!!python/object/apply:os.system [touch witness]", "!!python/object/new:os.system [touch w]",
     "!!python/name:os.system ''", "!!python/module:os ''"],
)  # fmt: skip
def test_a_hostile_tag_runs_nothing(refused, here, tag):
    (here / "tiny.yaml").write_text(f"name: {tag}\n")
    assert "is not a plain YAML file" in refused("run", "tiny.yaml")
    assert "cannot be read" in refused("run", "demo", "--set", f"name={tag}")
    assert [path.name for path in here.iterdir()] == ["tiny.yaml"]


@pytest.mark.parametrize(
    ("study", "words"),
    [
        ("demoo", "unknown study 'demoo'.\n  Did you mean 'demo'?"),
        ("missing.yaml", "missing.yaml: does not exist"),
        (".", "is a folder, not a study file"),
        ("x" * 3000, "unknown study"),
    ],
)
@pytest.mark.parametrize("verb", ["run", "plan"])
def test_a_study_that_is_not_there(refused, verb, study, words):
    assert words in refused(verb, study)


# --- options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--scale", "mini"], "has no scales, so there is no 'mini'"),
        (["--set", "recipe.epochs"], "is not of the form key.path=value"),
        (["--set", "recipe.epoch=2"], "did you mean 'epochs'?"),
        (["--set", "recipe.epochs=[2"], "cannot be read"),
        (["--set", "recipe.epochs=2", "--set", "seed=x"], "seed: input should be a valid integer"),
        (["--set", "data.label_noise=1.0"], "--set data.label_noise=1.0: data.label_noise: input"),
        (["--set", "data.train=???"], "--set data.train=???: data.train: input should be"),
        (["--set", "data.train=${seed}"], "(found '${seed}')"),
        (["--set", "extends=demo"], "extends: unknown key here; it belongs into the file"),
        (["--set", "recipe.optimizer.sgd.lr=.nan"], "lr: input should be a finite number"),
        (["--set", ""], "is not of the form key.path=value"),
        (["--device", "gpu"], "unknown device 'gpu'"),
        (["--engine", "loca"], "unknown engine 'loca'.\n  Did you mean 'local'?"),
        (["--workers", "-1"], "'--workers'"),
        (["--workers", "many"], "'--workers'"),
        (["--workers", "1.5"], "'--workers'"),
        (["--wrkers", "1"], "--wrkers"),
        (["--data", "somewhere"], "digits takes no path"),
        (["another.yaml"], "another.yaml"),
    ],
)
def test_a_wrong_option_of_run(refused, options, words):
    assert words in refused("run", "tiny.yaml", *options)


def test_an_unknown_scale_gets_the_nearest(refused, here):
    with (here / "tiny.yaml").open("a") as file:
        file.write("scales: {mini: {recipe: {epochs: 1}}, full: {}}\n")
    assert "Did you mean 'mini'?" in refused("run", "tiny.yaml", "--scale", "mni")


def test_a_device_that_this_machine_has_not(refused, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert "this machine has no cuda device" in refused("run", "tiny.yaml", "--device", "cuda")


@pytest.mark.parametrize("verb", ["run", "plan"])
def test_a_store_that_cannot_be_made(refused, verb):
    assert "a part of this path is a file" in refused(verb, "tiny.yaml", "--store", "tiny.yaml/s")
    assert "this is a file" in refused(verb, "tiny.yaml", "--store", "tiny.yaml")


@pytest.mark.parametrize(
    "args",
    [["results"], ["results", "tiny", "--json"], ["status"], ["status", "tiny"], ["report"],
     ["show", "abc"], ["store", "ls"], ["store", "verify"]],
    ids=" ".join,
)  # fmt: skip
def test_looking_where_there_is_no_store(refused, here, args):
    assert "there is no store here" in refused(*args)
    assert "there is no store here" in refused(*args, "--store", "nowhere")
    assert not (here / "tutelage-store").exists()
    assert not (here / "nowhere").exists()


@pytest.mark.parametrize("verb", ["results", "report"])
def test_a_store_without_studies(call, refused, here, verb):
    assert call("plan", "tiny.yaml").code == 0  # makes a store and writes no study into it
    assert "holds no study yet" in refused(verb)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["list", "model"], "unknown list 'model'.\n  Did you mean 'models'?"),
        (["list", "everything"], "unknown list 'everything'"),
        (["list"], "'what'"),
        (["rnu", "demo"], "rnu"),
        (["store", "gcc"], "gcc"),
        (["store", "gc", "--all"], "--all"),
        (["results", "last", "again"], "again"),
        (["show"], "'run'"),
    ],
)
def test_what_there_is_not(refused, args, words):
    assert words.lower() in refused(*args).lower()


def test_unknown_runs_and_studies_of_a_store(call, ran):
    store = ran[2]
    for args, words in (
        (["show", "zz"], "no run begins with 'zz'"),
        (["show", ""], "28 runs begin with"),
        (["results", "tin"], "unknown study 'tin'.\n  Did you mean 'tiny'?"),
        (["status", "tin"], "unknown study 'tin'"),
        (["report", "tin"], "unknown study 'tin'"),
        (["report", "-o", "/dev/null/report.html"], "the report cannot be written"),
        (["report", "-o", "/proc/report.html"], "the report cannot be written"),
        (["results", "1234"], "unknown study '1234'"),
        (["results", "../tiny"], "unknown study '../tiny'"),
    ):
        said = call(*args, "--store", store)
        assert (said.code, said.out) == (2, "")
        assert words in said.err


# --- images --------------------------------------------------------------------------------------


def test_the_photos_are_right_to_begin_with(call, photos):
    assert call("plan", "photos.yaml", "--data", photos).code == 0


def test_images_of_which_nothing_is_said(refused, photos):
    assert "data.path: the data set is not named" in refused("run", "photos.yaml")


def test_a_missing_folder(refused, photos):
    said = refused("run", "photos.yaml", "--data", "elsewhere")
    assert said.startswith("error: elsewhere: there is no such folder")


def test_a_file_for_a_folder(refused, photos):
    assert "this is a file, not a folder" in refused("run", "photos.yaml", "--data", "tiny.yaml")


def test_a_folder_without_images(refused, here, photos):
    (here / "empty").mkdir()
    said = refused("run", "photos.yaml", "--data", "empty")
    assert said.startswith("error: empty: ")


def test_an_empty_class(refused, photos):
    (photos / "train" / "bird").mkdir()
    said = refused("run", "photos.yaml", "--data", photos)
    assert str(photos / "train" / "bird") in said
    assert "class 'bird' has no images" in said


def test_a_truncated_image(refused, photos):
    image = photos / "train" / "dog" / "5.png"
    image.write_bytes(image.read_bytes()[:60])
    said = refused("run", "photos.yaml", "--data", photos)
    assert str(image) in said
    assert "cannot be read" in said


def test_images_of_two_sizes(refused, photos):
    Image.new("RGB", (9, 9)).save(photos / "train" / "dog" / "9.png")
    assert "data.size" in refused("run", "photos.yaml", "--data", photos)


# --- what only data and recipe together show ------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("recipe.batch_size=101", "a batch of 101 is larger than the 100 training images"),
        ("data.views=shfit-1", "unknown views 'shfit-1'"),
        ("data.views=crop-8", "crop-8 moves images by up to 8 pixels"),
    ],
)
def test_what_cannot_be_trained_is_told_before_anything_runs(refused, override, words):
    assert words in refused("run", "tiny.yaml", "--workers", 0, "--set", override)
    assert words in refused("plan", "tiny.yaml", "--set", override)
