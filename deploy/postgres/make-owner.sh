#!/bin/sh
# Makes the database of Pollux and its owner, who is no superuser. Runs once, on an empty volume.
set -eu
psql --quiet --set ON_ERROR_STOP=1 --set password="$POSTGRES_PASSWORD" --username postgres <<'SQL'
create role pollux login createdb createrole password :'password';
create database pollux owner pollux;
SQL
