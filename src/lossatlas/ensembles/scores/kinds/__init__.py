"""One module per score, named as in the data of ensembles."""
