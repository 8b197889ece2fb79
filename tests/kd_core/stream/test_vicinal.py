import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import beta, binomtest, chisquare, kstest

from kd_core.config.data import MixupConfig, ViewConfig
from kd_core.stream.vicinal import VicinalEpoch, VicinalStream, batch_slots, crop_boxes, render, views_of

BETA = MixupConfig(distribution="beta", concentration=0.4)
OFF = MixupConfig(distribution="off")


def stream(num_samples: int = 64, seed: int = 0, mixup: MixupConfig | None = None, **view) -> VicinalStream:
    return VicinalStream(seed, num_samples, mixup or MixupConfig(), ViewConfig(**view))


def images_and_labels(num_samples: int, height: int = 6, width: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (num_samples, height, width, 3), dtype=torch.uint8, generator=generator)
    return images, torch.randint(0, 10, (num_samples,), generator=generator)


def parts(epoch: VicinalEpoch) -> dict[str, torch.Tensor]:
    return {name: getattr(epoch, name) for name in ("order", "mixup_lambda", "crop", "box", "flip")}


def test_the_stream_is_pinned():
    """If these numbers change, raise STREAM_VERSION in kd_core.config.identity, which is part of the results' keys."""
    epoch = stream(8).epoch(1)
    assert epoch.order.tolist() == [5, 3, 7, 2, 4, 1, 0, 6]
    assert epoch.crop[:4].tolist() == [[7, 7], [0, 2], [3, 8], [6, 1]]
    assert epoch.flip.tolist() == [False, False, True, True, False, True, False, False]
    torch.testing.assert_close(
        epoch.mixup_lambda[:4], torch.tensor([0.13607834, 0.15215866, 0.70100456, 0.90658903]), rtol=0, atol=1e-7
    )
    drawn = stream(8, mixup=BETA).epoch(1).mixup_lambda[:4]
    torch.testing.assert_close(drawn, torch.tensor([0.02510566, 0.03307679, 0.83186257, 0.99013340]), rtol=0, atol=1e-6)


def test_an_epoch_does_not_depend_on_what_was_drawn_before():
    expected = stream().epoch(5)
    walked = stream()
    for epoch in (1, 9, 2):
        walked.epoch(epoch)
    np.random.default_rng(1).random(3)
    torch.manual_seed(99)
    for name, value in parts(walked.epoch(5)).items():
        assert torch.equal(value, parts(expected)[name])


@pytest.mark.parametrize("other", [stream().epoch(2), stream(seed=1).epoch(1)], ids=["epoch", "seed"])
@pytest.mark.parametrize("name", ["order", "mixup_lambda", "crop", "box", "flip"])
def test_another_epoch_or_seed_is_another_draw(other, name):
    assert not torch.equal(parts(other)[name], parts(stream().epoch(1))[name])


@given(num_samples=st.integers(1, 200), seed=st.integers(0, 2**32), epoch=st.integers(1, 10**6))
def test_the_order_is_a_permutation_and_lambda_a_share(num_samples, seed, epoch):
    drawn = stream(num_samples, seed).epoch(epoch)
    assert drawn.order.sort().values.tolist() == list(range(num_samples))
    assert ((drawn.mixup_lambda >= 0) & (drawn.mixup_lambda <= 1)).all()


@pytest.mark.parametrize(
    ("mixup", "law"), [(MixupConfig(), "uniform"), (BETA, beta(0.4, 0.4).cdf)], ids=["uniform", "beta"]
)
def test_lambda_follows_its_law(mixup, law):
    drawn = stream(20_000, mixup=mixup).epoch(1).mixup_lambda.double().numpy()
    assert kstest(drawn, law).pvalue > 0.01


def test_crops_are_uniform_and_half_of_the_images_flip():
    drawn = stream(20_000, padding=2).epoch(1)
    for axis in (0, 1):
        assert chisquare(np.bincount(drawn.crop[:, axis], minlength=5)).pvalue > 0.01
    assert drawn.crop.min() == 0
    assert drawn.crop.max() == 4
    assert binomtest(int(drawn.flip.sum()), 20_000).pvalue > 0.01
    assert not stream(200, flip=False).epoch(1).flip.any()


@given(num_samples=st.integers(1, 100), fraction=st.floats(0, 1))
def test_exactly_the_asked_share_of_slots_is_mixed(num_samples, fraction):
    drawn = stream(num_samples, mixup=MixupConfig(fraction=fraction)).epoch(1).mixup_lambda
    assert int((drawn < 1).sum()) == round(fraction * num_samples)
    whole = stream(num_samples).epoch(1).mixup_lambda
    assert torch.equal(drawn[drawn < 1], whole[drawn < 1])


@pytest.mark.parametrize("mixup", [OFF, BETA, MixupConfig(fraction=0.5)], ids=["off", "beta", "half"])
def test_mixup_does_not_change_the_view(mixup):
    plain, mixed = stream().epoch(3), stream(mixup=mixup).epoch(3)
    for name in ("order", "crop", "box", "flip"):
        assert torch.equal(parts(plain)[name], parts(mixed)[name])
    assert not torch.equal(plain.mixup_lambda, mixed.mixup_lambda)


def test_the_view_does_not_change_order_and_mixup():
    plain, viewed = stream().epoch(3), stream(padding=1, flip=False).epoch(3)
    assert torch.equal(plain.order, viewed.order)
    assert torch.equal(plain.mixup_lambda, viewed.mixup_lambda)


@pytest.mark.parametrize("num_samples", [15, 16])
@pytest.mark.parametrize("batch_size", [2, 4, 10])
def test_every_batch_size_sees_the_same_slots(num_samples, batch_size):
    images, labels = images_and_labels(num_samples)
    epoch = stream(num_samples).epoch(1)
    whole = render(images, labels, epoch, slice(0, num_samples), ViewConfig())
    starts = range(0, num_samples, batch_size)
    pieces = [render(images, labels, epoch, slice(start, start + batch_size), ViewConfig()) for start in starts]
    for name in ("images", "labels", "partner_labels", "mixup_lambda"):
        assert torch.equal(torch.cat([getattr(piece, name) for piece in pieces]), getattr(whole, name))


def reference_view(image: np.ndarray, crop: tuple[int, int], flip: bool, padding: int) -> np.ndarray:
    height, width, _ = image.shape
    padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))
    view = padded[crop[0] : crop[0] + height, crop[1] : crop[1] + width]
    return (view[:, ::-1] if flip else view).transpose(2, 0, 1) / 255


@pytest.mark.parametrize("num_samples", [16, 17])
@pytest.mark.parametrize("padding", [0, 2, 7])
def test_a_batch_mixes_each_view_and_label_with_those_of_slot_xor_one(num_samples, padding):
    images, labels = images_and_labels(num_samples)
    epoch = stream(num_samples, padding=padding).epoch(2)
    batch = render(images, labels, epoch, slice(0, num_samples), ViewConfig(padding=padding))
    views = [
        reference_view(images[image].numpy(), tuple(crop), flip, padding)
        for image, crop, flip in zip(epoch.order, epoch.crop.tolist(), epoch.flip.tolist(), strict=True)
    ]
    assert batch.images.shape == (num_samples, 3, 6, 5)
    for slot, share in enumerate(epoch.mixup_lambda.tolist()):
        partner = slot ^ 1 if slot ^ 1 < num_samples else slot
        expected = share * views[slot] + (1 - share) * views[partner]
        np.testing.assert_allclose(batch.images[slot].numpy(), expected, atol=1e-6)
        assert batch.labels[slot] == labels[epoch.order[slot]]
        assert batch.partner_labels[slot] == labels[epoch.order[partner]]


def test_a_batch_has_its_channels_last_without_a_copy():
    images, labels = images_and_labels(16)
    batch = render(images, labels, stream(16, padding=2).epoch(1), slice(0, 8), ViewConfig(padding=2))
    assert batch.images.shape == (8, 3, 6, 5)
    assert batch.images.is_contiguous(memory_format=torch.channels_last)


def test_lambda_one_leaves_the_view_exact():
    images, labels = images_and_labels(16)
    epoch = stream(16, mixup=OFF, padding=0, flip=False).epoch(1)
    batch = render(images, labels, epoch, slice(0, 16), ViewConfig(padding=0))
    assert torch.equal(batch.images, images[epoch.order].permute(0, 3, 1, 2).float() / 255)
    assert torch.equal(batch.mixup_lambda, torch.ones(16))


@given(num_samples=st.integers(1, 100), half=st.integers(1, 20))
def test_batches_cover_every_slot_but_a_lone_last_one(num_samples, half):
    slots = batch_slots(num_samples, 2 * half)
    covered = [slot for each in slots for slot in range(each.start, each.stop)]
    assert covered == list(range(num_samples - (num_samples % (2 * half) == 1)))
    assert all(each.start % 2 == 0 and each.stop - each.start >= 2 for each in slots)


SCALES = st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)).map(sorted).map(tuple)
SIDES = st.integers(1, 600)


@given(height=SIDES, width=SIDES, scale=SCALES, seed=st.integers(0, 2**32))
def test_resized_crops_lie_inside_the_image(height, width, scale, seed):
    drawn = stream(50, seed, crop="resized", scale=scale).epoch(1)
    top, left, box_height, box_width = crop_boxes(drawn.box, height, width).unbind(1)
    assert ((top >= 0) & (box_height >= 1) & (top + box_height <= height)).all()
    assert ((left >= 0) & (box_width >= 1) & (left + box_width <= width)).all()


@given(height=st.integers(150, 600), width=st.integers(150, 600), scale=SCALES, seed=st.integers(0, 2**32))
def test_resized_crops_have_the_drawn_area_and_aspect_where_they_fit(height, width, scale, seed):
    """A side is rounded to whole pixels, hence the slack; a box that would stick out is cut and has less area."""
    drawn = stream(50, seed, crop="resized", scale=scale).epoch(1)
    sides = crop_boxes(drawn.box, height, width)[:, 2:].double()
    area, slack = sides.prod(1), sides.sum(1) / 2 + 1
    assert (area <= scale[1] * height * width + slack).all()
    whole = (sides < torch.tensor([height, width])).all(1)
    assert (area >= scale[0] * height * width - slack)[whole].all()
    for longer, shorter in ((0, 1), (1, 0)):
        assert ((sides[:, longer] - 0.5) <= 4 / 3 * (sides[:, shorter] + 0.5))[whole].all()


def test_area_aspect_and_place_of_resized_crops_follow_their_laws():
    box = stream(20_000, crop="resized", scale=(0.2, 0.6)).epoch(1).box.numpy()
    area, log_aspect = box[:, 0] * box[:, 1], np.log(box[:, 1] / box[:, 0])
    shares = [(area - 0.2) / 0.4, log_aspect / np.log(16 / 9) + 0.5, box[:, 2], box[:, 3]]
    for share in shares:
        assert kstest(share, "uniform").pvalue > 0.01
    assert np.abs(np.corrcoef(shares) - np.eye(4)).max() < 0.03


def test_resized_views_are_those_of_pillow_to_one_grey_level():
    view = ViewConfig(crop="resized")
    drawn = stream(40, crop="resized").epoch(1)
    images, _ = images_and_labels(40, 70, 90)
    views = views_of(images, drawn, view, (32, 24)).numpy()
    for slot, (top, left, height, width) in enumerate(crop_boxes(drawn.box, 70, 90).tolist()):
        box = (left, top, left + width, top + height)
        cut = Image.fromarray(images[slot].numpy()).crop(box)
        expected = np.asarray(cut.resize((24, 32), Image.Resampling.BILINEAR))
        expected = expected[:, ::-1] if drawn.flip[slot] else expected
        assert np.abs(views[slot].astype(int) - expected).max() <= 1


@given(count=st.integers(2, 30), height=st.integers(1, 40), width=st.integers(1, 40), size=st.integers(1, 40))
def test_a_resized_view_depends_on_its_own_slot_alone(count, height, width, size):
    view = ViewConfig(crop="resized")
    drawn = stream(count, crop="resized").epoch(1)
    images, _ = images_and_labels(count, height, width)
    whole = views_of(images, drawn, view, (size, size))
    for slot in range(count):
        one = slice(slot, slot + 1)
        assert torch.equal(views_of(images[one], drawn.at(one), view, (size, size)), whole[one])


def test_a_resized_crop_of_everything_at_its_own_size_changes_nothing():
    drawn = stream(8, crop="resized", scale=(1, 1), flip=False).epoch(1)
    drawn.box[:, :2] = 1
    images, _ = images_and_labels(8, 9, 9)
    assert torch.equal(views_of(images, drawn, ViewConfig(crop="resized"), (9, 9)), images)


@pytest.mark.parametrize("scale", [(0, 1), (0.5, 0.2), (0.5, 1.5)])
def test_an_impossible_scale_is_refused(scale):
    with pytest.raises(ValueError, match="scale"):
        ViewConfig(crop="resized", scale=scale)
