# syntax=docker/dockerfile:1
# docker build --target cpu -t zoo:cpu .     torch without CUDA
# docker build --target cuda -t zoo:cuda .   torch with its CUDA libraries; run it with --gpus all
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS base
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 \
    ZOO_DATA=/zoo/data ZOO_CACHE=/zoo/data/cache ZOO_RUNS=/zoo/runs ZOO_EXPORTS=/zoo/exports
RUN useradd --create-home --uid 1000 zoo && install --directory --owner zoo /zoo/data /zoo/runs /zoo/exports
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY zoo ./zoo
COPY plugins ./plugins

FROM base AS cpu
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# onnxruntime in place of onnxruntime-gpu, which brings CUDA libraries
RUN --mount=type=cache,target=/root/.cache/pip \
    sed -i 's/^onnxruntime-gpu==/onnxruntime==/' constraints.txt \
    && sed -i -e '/"onnxruntime-gpu/d' -e 's/"\(onnxruntime>=[0-9.]*\);[^"]*"/"\1"/' pyproject.toml \
    && pip install --extra-index-url "$TORCH_INDEX" --constraint constraints.txt '.[rar]'
USER zoo
WORKDIR /zoo
VOLUME ["/zoo/data", "/zoo/runs", "/zoo/exports"]
ENTRYPOINT ["zoo"]
CMD ["--help"]

FROM base AS cuda
RUN --mount=type=cache,target=/root/.cache/pip pip install --constraint constraints.txt '.[rar]'
USER zoo
WORKDIR /zoo
VOLUME ["/zoo/data", "/zoo/runs", "/zoo/exports"]
ENTRYPOINT ["zoo"]
CMD ["--help"]
