"""A student that follows a teacher."""
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmaction.registry import MODELS
from mmengine.config import Config
from torch.nn import functional as F

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.distilled_retriever import divergence

from ..conftest import NECK
from ..processes import run_tool


@pytest.fixture
def build_student(retriever_cfg, tmp_path):
    def build(teacher=None, **options):
        """A student with the weights of its teacher, which are on the disk."""
        torch.manual_seed(0)
        teacher = retriever_cfg() if teacher is None else teacher
        model = MODELS.build(teacher)
        torch.save(model.state_dict(), tmp_path / 'teacher.pth')
        student = MODELS.build(dict(
            retriever_cfg(options.pop('necks', ())), type='DistilledRetriever',
            teacher=teacher, teacher_checkpoint=str(tmp_path / 'teacher.pth'),
            **options))
        own = student.state_dict()
        student.load_state_dict({
            name: value for name, value in model.state_dict().items()
            if name in own and own[name].shape == value.shape}, strict=False)
        return student
    return build


@given(st.integers(1, 4), st.integers(1, 4), st.sampled_from([.5, 1., 4.]))
def test_the_divergence_is_that_of_both_ways(texts, videos, temperature):
    teacher, student = torch.randn(2, texts, videos).double().unbind()
    total = 0
    for goal, own in ((teacher, student), (teacher.T, student.T)):
        for row, other in zip(goal / temperature, own / temperature):
            p, q = row.exp() / row.exp().sum(), other.exp() / other.exp().sum()
            total += sum(a * (a / b).log() for a, b in zip(p, q)) / len(goal)
    torch.testing.assert_close(divergence(teacher, student, temperature),
                               temperature**2 * total / 2)
    assert divergence(teacher, teacher).abs() < 1e-12


def test_the_same_model_has_nothing_to_learn(build_student, inputs):
    losses = build_student(feature_weight=1.0)(inputs, mode='loss')
    assert losses['loss_similarity'].abs() < 1e-6 > losses['loss_feature'].abs()


def test_only_the_student_learns(build_student, retriever_cfg, inputs):
    student = build_student(necks=[NECK], similarity_weight=2.0, feature_weight=3.0)
    plain = MODELS.build(retriever_cfg([NECK]))
    assert student.state_dict().keys() == plain.state_dict().keys()
    student.train()
    losses = student(inputs, mode='loss')
    teacher, = student._teacher
    assert not teacher.training and not any(
        p.requires_grad for p in teacher.parameters())
    with torch.no_grad():
        own, other = (model(inputs, mode='tensor') for model in (student, teacher))
        logits = [model.head.logits(dict(text=out['text']), dict(video=out['video']))
                  for model, out in ((student, own), (teacher, other))]
    torch.testing.assert_close(losses['loss_similarity'],
                               2 * divergence(*reversed(logits)))
    expected = torch.stack([1 - F.cosine_similarity(own[name], other[name]).mean()
                            for name in ('text', 'video')]).mean()
    torch.testing.assert_close(losses['loss_feature'], 3 * expected)
    sum(losses[name] for name in ('loss_similarity', 'loss_feature')).backward()
    grads = [p.grad for p in student.backbone.parameters() if p.grad is not None]
    assert grads and all(grad.isfinite().all() for grad in grads)


def test_a_pairwise_teacher_of_one_vector_a_video(build_student, retriever_cfg,
                                                  inputs):
    teacher = retriever_cfg()
    teacher['head'] = dict(type='WeightedTokenInteractionHead', embed_dims=16)
    assert build_student(teacher)(inputs, mode='loss')['loss_similarity'] > 0
    with pytest.raises(InputError, match='feature_weight needs heads'):
        build_student(teacher, feature_weight=1.0).init_weights()


def test_what_does_not_fit_is_named(build_student, retriever_cfg, tmp_path):
    with pytest.raises(InputError, match='teacher must be the model config'):
        MODELS.build(dict(retriever_cfg(), type='DistilledRetriever', teacher={},
                          teacher_checkpoint=str(tmp_path / 'teacher.pth')))
    other = retriever_cfg()
    other['data_preprocessor'] = dict(other['data_preprocessor'], mean=[0.] * 3,
                                      std=[1.] * 3)
    with pytest.raises(InputError, match="it must read the student's pictures"):
        build_student(other).init_weights()
    wide = retriever_cfg()
    wide['arch'].update(embed_dim=24)
    with pytest.raises(InputError, match=r'of one width, .* got widths \[16, 24\]'):
        build_student(wide, feature_weight=1.0).init_weights()
    student = build_student()
    (tmp_path / 'teacher.pth').unlink()
    with pytest.raises(InputError, match='teacher.pth'):
        student.init_weights()
    with pytest.raises(InputError, match='temperature'):
        build_student(temperature=0)


@pytest.mark.slow
def test_a_student_is_trained_resumed_and_tested(tiny_config, tiny_checkpoint,
                                                 tmp_path):
    """By the zoo's config alone; what it leaves is a plain retriever's."""
    cfg = Config.fromfile(tiny_config)
    cfg.model = dict(cfg.model, type='DistilledRetriever', teacher=cfg.model,
                     teacher_checkpoint=tiny_checkpoint, feature_weight=1.0)
    cfg.dump(tmp_path / 'student.py')
    work = tmp_path / 'work'
    train = ['train.py', tmp_path / 'student.py', '--no-validate', '--work-dir', work]
    said = run_tool(*train, '--cfg-options', 'train_cfg.max_epochs=1')
    assert 'loss_similarity: ' in said and 'loss_feature: ' in said
    assert 'Epoch(train) [2][' in run_tool(*train, '--resume')
    # Without the teacher's file, and by the config of a plain retriever.
    cfg.model.teacher_checkpoint = str(tmp_path / 'gone.pth')
    cfg.dump(tmp_path / 'student.py')
    for config in (tmp_path / 'student.py', tiny_config):
        assert 'retrieval/t2v/R1' in run_tool('test.py', config, work / 'epoch_2.pth',
                                              '--work-dir', tmp_path / 'test')
