"""The script that Streamlit runs; away from `pages`, which Streamlit would take for scripts too."""
