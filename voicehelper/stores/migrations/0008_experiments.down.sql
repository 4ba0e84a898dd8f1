DROP TABLE experiment_batches;
DROP TABLE experiment_bins;
DROP TABLE experiment_tallies;
DROP TABLE experiment_assignments;
DROP TABLE experiments;
