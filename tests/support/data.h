/* data: what every data source must stand. */
#ifndef TEST_DATA_H
#define TEST_DATA_H

#include "hone/hone.h"

/* Opens the source and takes a batch, with the n-th allocation refused and then with the n-th call of the
 * system failing, until it succeeds: before that there must be an error, and nothing is left behind. */
void data_survives(HoneDataset *(*open)(HoneSys *sys, HoneError *error));

#endif
