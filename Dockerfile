# docker build -t convoscope .                           PyTorch for the CPU
# docker build -t convoscope --build-arg TORCH=cu130 .   with CUDA 13.0
# docker run -p 8501:8501 -v convoscope:/data convoscope
FROM python:3.13-slim
ARG TORCH=cpu
RUN useradd --create-home convoscope && mkdir /data && chown convoscope /data
WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/${TORCH} -r requirements.txt
COPY --chown=convoscope . .
USER convoscope
# Everything that is made or fetched lies in one volume.
ENV CONVOSCOPE_HOME=/data
VOLUME /data
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=4)"]
CMD ["streamlit", "run", "app.py", "--server.address", "0.0.0.0"]
