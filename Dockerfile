# Build the wheel apart, so that the image holds no compiler, no checkout and no cache.
FROM python:3.11-slim AS build
WORKDIR /src
COPY . .
RUN pip install --no-cache-dir build && python -m build --wheel --outdir /wheels

FROM python:3.11-slim
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir /wheels/*.whl && rm -r /wheels \
    && useradd --create-home --uid 1000 audiocur
USER audiocur
WORKDIR /home/audiocur
# docker run --shm-size=1g -v ~/Music:/music:ro -v $PWD/runs:/home/audiocur/runs audiocur \
#   recipe=music_gen source.path=/music output.path=runs/mine
ENTRYPOINT ["audiocur"]
