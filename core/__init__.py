"""The engine of Convoscope: models, images and analyses. Knows nothing of Streamlit or of pages."""
