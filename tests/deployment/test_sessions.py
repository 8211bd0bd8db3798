"""ONNX files of strangers."""
import pytest

from mmaction_centerclip.deployment.sessions import Session
from mmaction_centerclip.errors import InputError

onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')


def write(path, domain='', output='text', kind='Identity'):
    value, result = (onnx.helper.make_tensor_value_info(
        name, onnx.TensorProto.INT64, ['batch', 4]) for name in ('ids', output))
    node = onnx.helper.make_node(kind, ['ids'], [output], domain=domain)
    onnx.save(onnx.helper.make_model(
        onnx.helper.make_graph([node], 'g', [value], [result]), ir_version=10,
        opset_imports=[onnx.helper.make_opsetid('', 20)] + [
            onnx.helper.make_opsetid(domain, 1)] * bool(domain)), path)
    return path


@pytest.mark.parametrize('options, said', [
    (dict(domain='evil', kind='Run'), 'cannot be opened by onnxruntime.*evil'),
    (dict(output='other'), 'is no texts.onnx of an exported model: it has'),
])
def test_other_models_are_refused(tmp_path, options, said):
    with pytest.raises(InputError, match=said):
        Session(write(tmp_path / 'texts.onnx', **options))


def test_no_model_at_all(tmp_path):
    (tmp_path / 'texts.onnx').write_bytes(b'\x00\x01')
    with pytest.raises(InputError, match='texts.onnx cannot be opened'):
        Session(tmp_path / 'texts.onnx')


def test_a_device_that_is_not_there(tmp_path):
    import onnxruntime
    if 'CUDAExecutionProvider' in onnxruntime.get_available_providers():
        pytest.skip('it is there')
    with pytest.raises(InputError, match="device='cuda': this onnxruntime has no CUDA"):
        Session(write(tmp_path / 'texts.onnx'), 'cuda')
