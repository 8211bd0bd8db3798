"""Install mmaction_centerclip, with its configs and tools under ``.mim``."""
import os
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
PACKAGE = 'mmaction_centerclip'
MIM = ('configs', 'tools', 'model-index.yml')

HF = ['transformers[sentencepiece]>=4.50,<6']
PEFT = ['peft>=0.21,<0.22']
SEARCH = ['faiss-cpu>=1.10,<1.16']
PARQUET = ['pyarrow>=18,<27']
MMPRETRAIN = ['mmpretrain>=1.2,<2']
ONNX = ['onnx>=1.23,<1.24', 'onnxscript>=0.7,<0.8', 'onnxruntime>=1.23,<1.33']
SERVE = ['starlette>=1,<2', 'uvicorn<1']


class BuildWithMim(build_py):
    """Put what ``mim`` looks for into the package.

    Files in a wheel, links in an editable install. The zoo's own recipe looks
    for 'develop' in sys.argv, which ``pip install -e`` no longer passes.
    """

    def run(self):
        super().run()
        editable = getattr(self, 'editable_mode', False)
        target = (ROOT if editable else Path(self.build_lib)) / PACKAGE / '.mim'
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for name in MIM:
            if editable:
                os.symlink(Path('..', '..', name), target / name)
            elif (ROOT / name).is_dir():
                shutil.copytree(
                    ROOT / name,
                    target / name,
                    ignore=shutil.ignore_patterns('__pycache__'))
            else:
                shutil.copy(ROOT / name, target / name)


def read_version():
    scope = {}
    exec((ROOT / PACKAGE / 'version.py').read_text(), scope)
    return scope['__version__']


setup(
    name=PACKAGE,
    version=read_version(),
    description='CenterCLIP and CLIP4Clip text-video retrieval for MMAction2',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    project_urls={
        'Paper': 'https://arxiv.org/abs/2205.00823',
        'MMAction2': 'https://github.com/open-mmlab/mmaction2',
    },
    classifiers=[
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Programming Language :: Python :: 3.13',
    ],
    keywords='text-video retrieval, CLIP, token clustering, OpenMMLab',
    packages=find_packages(include=[PACKAGE, f'{PACKAGE}.*']),
    package_data={f'{PACKAGE}.search.page': ['static/*']},
    python_requires='>=3.10,<3.14',
    # Upper bounds are the newest that was tried, see docs/installation.md.
    install_requires=[
        # before 2.6, torch.load of a checkpoint may run code
        'torch>=2.6,<2.15',
        'torchvision<0.30',
        'mmaction2>=1.2,<2',
        'open_clip_torch>=3.0,<3.4',
        'timm>=1.0.17,<1.1',
        'av>=17.1,<20',
        'numpy<3',
        'scipy<2',
        'jinja2>=3,<4',
        'filelock>=3.12,<5',
        'importlib_metadata',  # mmaction2 imports it, undeclared
        'setuptools<81',  # mmengine imports pkg_resources
    ],
    extras_require={
        # No requirements: they would overwrite the files of a full mmcv, or
        # of onedl-mmcv and onedl-mmengine (docs/installation.md).
        'lite': ['mmcv-lite>=2.1,<2.2', 'mmengine>=0.10.7,<0.11'],
        'onedl': ['onedl-mmcv>=2.3,<3', 'onedl-mmengine>=0.10.12,<1'],
        'hf': HF,  # tokenizers of Hugging Face
        'peft': PEFT,  # LoRA on the towers
        'search': SEARCH,  # an index of a million rows
        'parquet': PARQUET,  # its rows for a search engine
        'mmpretrain': MMPRETRAIN,  # its vision transformer as a host
        'serve': SERVE,  # the page of the search
        'onnx': ONNX,  # write and run exported models
        'docs': [  # the site
            'mkdocs-material>=9.7,<9.9', 'mkdocstrings[python]>=1.0.8,<1.1', 'ruff'
        ],
        'tests': [
            'pytest<10', 'pytest-xdist<4', 'hypothesis<7', 'ruff', 'codespell',
            'torchmetrics<2', 'playwright', 'nbclient', 'nbformat', 'ipykernel',
            'tensorboard', *HF, *PEFT, *SEARCH, *PARQUET, *MMPRETRAIN, *ONNX,
            *SERVE
        ],
    },
    cmdclass={'build_py': BuildWithMim},
    zip_safe=False)
