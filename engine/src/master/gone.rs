//! Under construction of this module's parts begins below.
