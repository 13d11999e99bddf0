"""One module per measure of diversity, named as in the data of ensembles."""
