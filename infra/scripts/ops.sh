# shellcheck shell=bash source-path=SCRIPTDIR source=lib.sh
# The administrators' machine: clients and their credentials.

install_packages
install_files

finish
